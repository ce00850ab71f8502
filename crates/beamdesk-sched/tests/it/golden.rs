//! The worked examples of the definitions, to a millionth.

use beamdesk_sched::{
    Cluster, Policy, Settings, Shape,
    formula::{card_power, cosine, gradient_points, least_requested, tanimoto},
};
use beamdesk_types::GpuRequest;

use crate::world::{
    A6000, GIB, Model, T4, V100, chosen, cluster, full, host, request, score, share, with_cards,
    with_free, with_gpu, with_used,
};

#[track_caller]
fn near(value: f64, expected: f64) {
    assert!((value - expected).abs() < 1e-6, "{value} is not {expected}");
}

#[test]
fn least_requested_is_the_mean_of_what_stays_free() {
    let half = [0.5, 0.5];
    near(least_requested([64.0, 256.0], [24.0, 96.0], half), 62.5);
    near(least_requested([32.0, 128.0], [12.0, 48.0], half), 62.5);
    near(least_requested([100.0, 400.0], [50.0, 100.0], half), 62.5);
}

#[test]
fn the_paper_takes_an_almost_full_host_without_cards_before_an_idle_one_with() {
    let vm = request(8, 32);
    let hosts = [
        with_used(host("cpu", 64, 256), 48, 192),
        with_cards(host("gpu", 64, 256), &[T4]),
        with_used(host("partly", 64, 256), 16, 64),
    ];
    let mut paper = cluster(Policy::Paper, &hosts);
    near(score(&paper, &vm, 0), 112.5);
    near(score(&paper, &vm, 1), 87.5);
    near(score(&paper, &vm, 2), 162.5);
    assert_eq!(chosen(&mut paper, &vm).unwrap(), "partly");
    let mut paper = cluster(Policy::Paper, &hosts[..2]);
    assert_eq!(chosen(&mut paper, &vm).unwrap(), "cpu");
}

#[test]
fn weights_are_scaled_to_one() {
    let settings = Settings {
        policy: Policy::Paper,
        cpu_weight: 3.0,
        memory_weight: 1.0,
        ..Settings::default()
    };
    let paper = Cluster::new(vec![host("cpu", 10, 10)], settings);
    // Of the CPU 80 % stay free, of the memory 40 %.
    near(score(&paper, &request(2, 6), 0), 100.0 + 0.75 * 80.0 + 0.25 * 40.0);
}

#[test]
fn the_power_of_a_card_is_a_mean_of_three_parts() {
    let one = [1.0; 3];
    near(card_power([1.0, 1.0, 1.0], one), 1.0);
    near(card_power([0.5, 0.8, 0.5], one), 0.6);
    near(card_power([0.25, 0.5, 0.75], one), 0.5);
    let highest = [38.7, 900.0, 1800.0];
    near(card_power([38.7, 768.0, 1800.0], highest), 0.951_111_111);
    near(card_power([37.4, 696.0, 1740.0], highest), 0.902_136_233);
    near(card_power([15.7, 900.0, 1530.0], highest), 0.751_894_918);
    near(card_power([8.1, 320.0, 1590.0], highest), 0.482_730_117);
}

#[test]
fn the_cosine_does_not_see_size() {
    near(cosine([3.0, 4.0, 0.0, 0.0, 0.0], [4.0, 3.0, 0.0, 0.0, 0.0]), 0.96);
    near(cosine([4.0, 0.0, 0.0, 3.0, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0]), 0.8);
    let asked = [1.0, 16.0, 4000.0, 8.0, 32.0];
    near(cosine(asked.map(|x| 2.0 * x), asked), 1.0);
    near(cosine(asked.map(|x| 100.0 * x), asked), 1.0);
    near(cosine([0.0; 5], asked), 0.0);
    near(cosine(asked, [0.0; 5]), 0.0);
}

#[test]
fn products_tie_where_power_and_similarity_trade_places() {
    near(0.5 * cosine([3.0, 4.0], [4.0, 3.0]), 0.48);
    near(0.6 * cosine([4.0, 3.0], [1.0, 0.0]), 0.48);
}

#[test]
fn the_cosine_depends_on_units_and_tanimoto_on_size() {
    let asked = [1.0, 16.0, 4000.0, 8.0, 32.0];
    let mib = |[cards, memory, cores, cpus, ram]: [f64; 5]| {
        [cards, memory * 1024.0, cores, cpus, ram * 1024.0]
    };
    let normal = |[cards, memory, cores, cpus, ram]: [f64; 5]| {
        [cards / 8.0, memory / 48.0, cores / 10752.0, cpus / 128.0, ram / 1024.0]
    };
    for (idle, expected) in [
        ([1.0, 16.0, 4096.0, 8.0, 32.0], [0.999_999_977, 0.999_996_649, 0.999_930, 0.999_708]),
        ([1.0, 48.0, 10752.0, 8.0, 32.0], [0.999_986_473, 0.868_598_685, 0.982_714, 0.463_911]),
        ([4.0, 48.0, 10752.0, 64.0, 256.0], [0.999_867_187, 0.959_439_762, 0.970_063, 0.398_361]),
        ([8.0, 16.0, 4096.0, 128.0, 1024.0], [0.971_663_042, 0.896_397_337, 0.502_925, 0.154_381]),
    ] {
        let [gib_cosine, mib_cosine, normal_cosine, normal_tanimoto] = expected;
        near(cosine(idle, asked), gib_cosine);
        near(cosine(mib(idle), mib(asked)), mib_cosine);
        near(cosine(normal(idle), normal(asked)), normal_cosine);
        near(tanimoto(normal(idle), normal(asked)), normal_tanimoto);
    }
}

/// A host with the last T4 free, one with four idle A6000, and a full one that has the most of
/// everything.
fn last_t4_or_idle_a6000() -> [beamdesk_sched::Host; 3] {
    [
        with_cards(host("t4", 8, 32), &[T4]),
        with_cards(host("a6000", 64, 256), &[A6000; 4]),
        full(with_cards(host("full", 128, 1024), &[V100; 8])),
    ]
}

fn small() -> beamdesk_sched::Request {
    with_gpu(request(8, 32), GpuRequest { cores: 2000, ..GpuRequest::whole(1, 16 * GIB) })
}

#[test]
fn the_paper_breaks_up_the_best_cards_for_a_small_request_and_fit_does_not() {
    let hosts = last_t4_or_idle_a6000();
    let mut paper = cluster(Policy::Paper, &hosts);
    near(score(&paper, &small(), 0) / 100.0, 0.482_726);
    near(score(&paper, &small(), 1) / 100.0, 0.951_074);
    assert_eq!(chosen(&mut paper, &small()).unwrap(), "a6000");
    let mut fit = cluster(Policy::Fit, &hosts);
    near(score(&fit, &small(), 0) / 100.0, 0.984_813);
    near(score(&fit, &small(), 1) / 100.0, 0.294_575);
    assert_eq!(chosen(&mut fit, &small()).unwrap(), "t4");
}

/// The paper's score in GiB and in MiB turns hosts around.
#[test]
fn policies_measure_in_the_units_they_are_named_for() {
    let of = |cores| Model("same", 48 * GIB, cores, 1000, 1000, 1000);
    let hosts = [
        with_cards(host("w", 8, 32), &[of(10752)]),
        with_cards(host("z", 64, 256), &[of(10752); 4]),
    ];
    let asked =
        with_gpu(request(8, 32), GpuRequest { cores: 4000, ..GpuRequest::whole(1, 16 * GIB) });
    let mut gib = cluster(Policy::Paper, &hosts);
    near(score(&gib, &asked, 0) / 100.0, 0.999_986_473);
    near(score(&gib, &asked, 1) / 100.0, 0.999_867_187);
    assert_eq!(chosen(&mut gib, &asked).unwrap(), "w");
    let mut mib = cluster(Policy::PaperMib, &hosts);
    near(score(&mib, &asked, 0) / 100.0, 0.868_598_685);
    near(score(&mib, &asked, 1) / 100.0, 0.959_439_762);
    assert_eq!(chosen(&mut mib, &asked).unwrap(), "z");
}

fn fgd(policy: Policy, hosts: &[beamdesk_sched::Host]) -> Cluster {
    let shape = |cpus: u64, gpu: GpuRequest, weight: f64| Shape {
        cpu_milli: cpus * 1000,
        memory_mib: 0,
        gpu,
        weight,
    };
    let workload = vec![
        shape(8, GpuRequest::whole(1, 0), 0.5),
        shape(4, share(500), 0.3),
        shape(16, GpuRequest::whole(2, 0), 0.2),
    ];
    Cluster::new(hosts.to_vec(), Settings { policy, workload, guard: None, ..Settings::default() })
}

#[test]
fn fgd_keeps_what_is_usable_together() {
    let p = with_free(with_cards(host("p", 32, 1024), &[T4, T4]), &[1000, 500]);
    let q = with_cards(host("q", 32, 1024), &[T4, T4]);
    let half = with_gpu(request(4, 1), share(500));
    near(fgd(Policy::Fgd, std::slice::from_ref(&p)).fragmentation_milli(), 550.0);
    near(fgd(Policy::Fgd, &[with_free(p.clone(), &[1000, 0])]).fragmentation_milli(), 200.0);
    near(fgd(Policy::Fgd, &[with_free(p.clone(), &[500, 500])]).fragmentation_milli(), 700.0);
    near(fgd(Policy::Fgd, std::slice::from_ref(&q)).fragmentation_milli(), 0.0);
    near(gradient_points(350.0), 58.0);
    near(gradient_points(-150.0), 46.0);
    near(gradient_points(-550.0), 36.0);
    near(gradient_points(0.0), 50.0);

    for policy in [Policy::Fgd, Policy::FgdBf] {
        let mut cluster = fgd(policy, &[q.clone(), p.clone()]);
        let placement = cluster.place(&half).unwrap();
        assert_eq!((placement.host, placement.cards), (1, vec![1]), "{policy}");
        // Without the half card only the whole one is left, and it costs.
        let only = fgd(policy, &[with_free(p.clone(), &[1000, 400])]);
        assert!(score(&only, &half, 0) < 50.0);
    }
    let cluster = fgd(Policy::Fgd, &[q.clone(), p.clone()]);
    near(score(&cluster, &half, 0), 36.0);
    near(score(&cluster, &half, 1), 58.0);
    // All CPU free; all cards of the largest host free, or three quarters.
    let cluster = fgd(Policy::FgdBf, &[q, p]);
    near(score(&cluster, &half, 0), 36.0);
    near(score(&cluster, &half, 1), 58.0 + 0.5 * (1.0 - 0.5 - 0.5 * 0.75));
}

#[test]
fn fgd_sees_that_the_cpu_runs_out() {
    // Whoever takes 29 of 32 CPUs leaves both cards to nobody: F rises from 0 to 2000.
    let q = with_cards(host("q", 32, 1024), &[T4, T4]);
    let cluster = fgd(Policy::Fgd, &[q]);
    near(score(&cluster, &request(29, 1), 0), gradient_points(-2000.0));
    // With 28, half cards are still of use.
    near(score(&cluster, &request(28, 1), 0), gradient_points(-0.7 * 2000.0));
}

#[test]
fn fgd_counts_cpu_that_is_missing() {
    // Only the half-card shape (4 CPUs) can still run on it: 0.7 of the workload finds it useless.
    let tight = with_used(with_cards(host("p", 32, 64), &[T4, T4]), 27, 0);
    near(fgd(Policy::Fgd, &[tight]).fragmentation_milli(), 0.7 * 2000.0);
}
