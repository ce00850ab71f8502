//! The filter: each reason, and in which order.

use beamdesk_sched::{Guard, Host, Misfit, Request, fits};
use beamdesk_types::GpuRequest;

use crate::world::{
    A40, A6000, GIB, T4, V100, host, name, request, share, with_cards, with_free, with_gpu,
};

fn gpus() -> Host {
    with_cards(host("gpus", 64, 256), &[A6000, A6000, T4])
}

fn whole(count: u32, memory_gib: u64) -> Request {
    with_gpu(request(1, 1), GpuRequest::whole(count, memory_gib * GIB))
}

#[track_caller]
fn misfit(request: &Request, host: &Host) -> Misfit {
    fits(request, host, None).unwrap_err()
}

#[test]
fn what_is_missing_first_is_the_reason() {
    let room = gpus();
    assert_eq!(fits(&whole(2, 48), &room, None), Ok(()));
    assert_eq!(misfit(&request(65, 1), &room), Misfit::Vcpus);
    assert_eq!(misfit(&request(64, 257), &room), Misfit::Memory);
    assert_eq!(misfit(&Request { disk_gib: 1001, ..request(1, 1) }, &room), Misfit::Disk);
    assert_eq!(misfit(&whole(4, 0), &room), Misfit::Gpus);
    assert_eq!(misfit(&whole(1, 49), &room), Misfit::GpuMemory);
    let model = |text: &str, count| GpuRequest {
        models: vec![text.to_owned(), "H100".to_owned()],
        ..GpuRequest::whole(count, 0)
    };
    assert_eq!(fits(&with_gpu(request(1, 1), model("T4", 1)), &room, None), Ok(()));
    assert_eq!(misfit(&with_gpu(request(1, 1), model("T4", 2)), &room), Misfit::GpuModel);
    assert_eq!(misfit(&with_gpu(request(1, 1), model("A40", 1)), &room), Misfit::GpuModel);
    let cores = GpuRequest { cores: 10_753, ..GpuRequest::whole(1, 0) };
    assert_eq!(misfit(&with_gpu(request(1, 1), cores), &room), Misfit::GpuCores);
    let bandwidth = GpuRequest { bandwidth_gb_s: 769, ..GpuRequest::whole(1, 0) };
    assert_eq!(misfit(&with_gpu(request(1, 1), bandwidth), &room), Misfit::GpuBandwidth);
}

#[test]
fn cards_of_one_request_are_of_one_model() {
    // Two A6000 are free, one T4: three cards, but never three alike.
    assert_eq!(misfit(&whole(3, 0), &gpus()), Misfit::GpuModel);
    let mixed = with_cards(host("mixed", 64, 256), &[A6000, A40, V100]);
    assert_eq!(fits(&whole(1, 48), &mixed, None), Ok(()));
    assert_eq!(misfit(&whole(2, 48), &mixed), Misfit::GpuModel);
}

#[test]
fn reasons_that_leave_no_hope_come_before_room() {
    let nobody = with_cards(host("a", 0, 0), &[]);
    let big = whole(1, 1);
    let closed = Host { closed: Some(Misfit::Quarantined), is_stale: true, ..nobody.clone() };
    assert_eq!(misfit(&big, &closed), Misfit::Quarantined);
    let excluded = Request { excluded: vec![name("b"), name("a")], ..big.clone() };
    assert_eq!(misfit(&excluded, &nobody), Misfit::Excluded);
    assert_eq!(
        misfit(&Request { only: Some(name("b")), ..big.clone() }, &nobody),
        Misfit::Elsewhere
    );
    let kept = Host { kept_for: vec!["b1".parse().unwrap(), "b2".parse().unwrap()], ..gpus() };
    assert_eq!(misfit(&big, &kept), Misfit::Station);
    let stranger = Request { station: Some("b3".parse().unwrap()), ..big.clone() };
    assert_eq!(misfit(&stranger, &kept), Misfit::Station);
    let own = Request { station: Some("b2".parse().unwrap()), ..big.clone() };
    assert_eq!(fits(&own, &kept, None), Ok(()));
    // What is on a host kept for nobody is for everybody.
    assert_eq!(fits(&own, &gpus(), None), Ok(()));
    assert_eq!(misfit(&big, &nobody), Misfit::Vcpus);
}

#[test]
fn a_silent_monitor_keeps_cards_but_not_cpus() {
    let silent = Host { is_stale: true, ..gpus() };
    assert_eq!(misfit(&whole(1, 0), &silent), Misfit::Stale);
    assert_eq!(fits(&request(1, 1), &silent, None), Ok(()));
}

#[test]
fn whole_cards_are_whole_and_shares_go_where_they_may() {
    let used = with_free(gpus(), &[999, 500, 0]);
    assert_eq!(misfit(&whole(1, 0), &used), Misfit::Gpus);
    assert_eq!(fits(&with_gpu(request(1, 1), share(999)), &used, None), Ok(()));
    let mut unshared = gpus();
    unshared.cards.iter_mut().for_each(|card| card.is_shared = false);
    assert_eq!(misfit(&with_gpu(request(1, 1), share(1)), &unshared), Misfit::Gpus);
    assert_eq!(fits(&whole(2, 0), &unshared, None), Ok(()));
}

#[test]
fn a_share_brings_its_part_of_the_memory() {
    let half = |memory_gib: u64| {
        let gpu = GpuRequest { memory_mib: memory_gib * GIB, ..share(500) };
        with_gpu(request(1, 1), gpu)
    };
    assert_eq!(fits(&half(24), &gpus(), None), Ok(()));
    assert_eq!(misfit(&half(25), &gpus()), Misfit::GpuMemory);
}

#[test]
fn absurd_numbers_are_a_misfit_and_nothing_else() {
    let most = Request {
        cpu_milli: u64::MAX,
        memory_mib: u64::MAX,
        disk_gib: u64::MAX,
        gpu: GpuRequest { count: u32::MAX, memory_mib: u64::MAX, ..GpuRequest::default() },
        ..Request::default()
    };
    assert_eq!(misfit(&most, &gpus()), Misfit::Vcpus);
    let cards = GpuRequest { count: u32::MAX, ..GpuRequest::default() };
    assert_eq!(misfit(&with_gpu(request(0, 0), cards), &gpus()), Misfit::Gpus);
    let memory = GpuRequest { memory_mib: u64::MAX, ..GpuRequest::whole(1, 0) };
    assert_eq!(misfit(&with_gpu(request(0, 0), memory), &gpus()), Misfit::GpuMemory);
    let mut host = gpus();
    host.take(&most, &[0, 1, 99]);
    assert_eq!((host.cpu_milli.free(), host.cards[0].free_milli), (0, 0));
    assert_eq!(misfit(&request(1, 0), &host), Misfit::Vcpus);
}

#[test]
fn the_guard_leaves_each_free_card_something_to_run_beside() {
    let guard = Guard { cpu_milli_per_card: 8000, memory_mib_per_card: 32 * GIB };
    let with_guard = |request: &Request, host: &Host| fits(request, host, Some(&guard));
    // Three free cards keep 24 of 64 CPUs and 96 of 256 GiB.
    assert_eq!(with_guard(&request(40, 160), &gpus()), Ok(()));
    assert_eq!(with_guard(&request(41, 1), &gpus()), Err(Misfit::Guard));
    assert_eq!(with_guard(&request(1, 161), &gpus()), Err(Misfit::Guard));
    // Cards in use keep nothing, half used ones half.
    assert_eq!(with_guard(&request(64, 256), &with_free(gpus(), &[0, 0, 0])), Ok(()));
    let half = with_free(gpus(), &[500, 0, 0]);
    assert_eq!(with_guard(&request(60, 1), &half), Ok(()));
    assert_eq!(with_guard(&request(61, 1), &half), Err(Misfit::Guard));
    // Who takes a card may take all that is beside it.
    assert_eq!(with_guard(&with_gpu(request(64, 256), GpuRequest::whole(1, 0)), &gpus()), Ok(()));
}
