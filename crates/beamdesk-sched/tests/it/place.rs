//! Choices that a person can check.

use beamdesk_sched::{
    Cluster, Guard, Host, Misfit, NoRoom, Policy, Request, Settings, Shape, workload,
};
use beamdesk_types::GpuRequest;

use crate::world::{
    A40, A6000, GIB, T4, V100, chosen, cluster, host, name, plain, request, share, with_cards,
    with_free, with_gpu, with_used,
};

fn default_cluster(hosts: &[Host]) -> Cluster {
    Cluster::new(hosts.to_vec(), Settings::default())
}

fn whole(count: u32, memory_gib: u64) -> Request {
    with_gpu(request(1, 1), GpuRequest::whole(count, memory_gib * GIB))
}

#[test]
fn the_fullest_host_that_fits_is_taken() {
    let hosts = [with_used(host("a-half", 16, 64), 8, 32), host("b-empty", 16, 64)];
    assert_eq!(chosen(&mut default_cluster(&hosts), &request(4, 8)).unwrap(), "a-half");
    assert_eq!(chosen(&mut default_cluster(&hosts), &request(12, 8)).unwrap(), "b-empty");
}

#[test]
fn a_desktop_without_card_leaves_cards_to_others() {
    let with = with_cards(host("a", 64, 256), &[T4]);
    let nearly_full = with_used(host("b", 64, 256), 60, 200);
    let mut cluster = default_cluster(&[with, nearly_full]);
    assert_eq!(chosen(&mut cluster, &request(4, 8)).unwrap(), "b");
    // If there is nothing else, it may still go there, as far as the guard allows.
    assert_eq!(chosen(&mut cluster, &request(8, 8)).unwrap(), "a");
    let told = chosen(&mut cluster, &request(61, 8)).unwrap_err();
    assert_eq!(told.misfits, [(Misfit::Vcpus, 1), (Misfit::Guard, 1)].into());
    // The paper's policies know no guard, whatever the settings say.
    let settings = Settings { policy: Policy::Paper, ..Settings::default() };
    let mut paper = Cluster::new(cluster.hosts().to_vec(), settings);
    assert_eq!(chosen(&mut paper, &request(61, 8)).unwrap(), "a");
}

#[test]
fn the_smallest_card_that_does_is_taken() {
    let hosts = [
        with_cards(host("a", 64, 256), &[plain(80 * GIB)]),
        with_cards(host("b", 64, 256), &[plain(24 * GIB)]),
    ];
    let mut cluster = default_cluster(&hosts);
    assert_eq!(chosen(&mut cluster, &whole(1, 16)).unwrap(), "b");
    assert_eq!(chosen(&mut cluster, &whole(1, 48)).unwrap(), "a");
    // In one host too.
    let mixed = with_cards(host("m", 64, 256), &[A6000, V100, A40, T4]);
    for policy in [Policy::FgdBf, Policy::Fgd, Policy::BestFit, Policy::Nova] {
        let placement = crate::world::cluster(policy, std::slice::from_ref(&mixed))
            .place(&whole(1, 8))
            .unwrap();
        assert_eq!(placement.cards, [3], "{policy}");
    }
}

#[test]
fn ties_go_to_the_smaller_name() {
    let hosts = [host("n2", 8, 8), host("n10", 8, 8), host("n1", 8, 8)];
    for policy in Policy::ALL.into_iter().filter(|policy| *policy != Policy::Random) {
        assert_eq!(chosen(&mut cluster(policy, &hosts), &request(1, 1)).unwrap(), "n1", "{policy}");
    }
}

#[test]
fn no_room_says_for_which_reasons() {
    let off =
        Host { closed: Some(Misfit::Disabled), ..with_cards(host("a", 64, 256), &[A6000; 2]) };
    let mut full_disk = with_cards(host("d", 64, 256), &[A6000]);
    full_disk.disk_gib.used = 2000; // more than it has
    let hosts = [
        off,
        with_cards(host("b", 1, 256), &[A6000]),
        with_cards(host("c", 64, 1), &[A6000]),
        full_disk,
        host("e", 64, 256),
        host("e2", 64, 256),
        with_cards(host("f", 64, 256), &[T4]),
    ];
    let wanted =
        Request { disk_gib: 10, ..with_gpu(request(2, 2), GpuRequest::whole(1, 24 * GIB)) };
    let expected = NoRoom {
        hosts: 7,
        misfits: [
            (Misfit::Disabled, 1),
            (Misfit::Vcpus, 1),
            (Misfit::Memory, 1),
            (Misfit::Disk, 1),
            (Misfit::Gpus, 2),
            (Misfit::GpuMemory, 1),
        ]
        .into(),
    };
    for policy in Policy::ALL {
        assert_eq!(cluster(policy, &hosts).place(&wanted), Err(expected.clone()), "{policy}");
        let nothing = NoRoom::default();
        assert_eq!(cluster(policy, &[]).place(&wanted), Err(nothing), "{policy}");
    }
}

#[test]
fn excluded_hosts_are_passed_over_once() {
    let hosts = [
        host("a", 8, 8),
        host("b", 8, 8),
        Host { closed: Some(Misfit::Maintenance), ..host("c", 8, 8) },
    ];
    for policy in Policy::ALL.into_iter().filter(|policy| *policy != Policy::Random) {
        let mut cluster = cluster(policy, &hosts);
        let without = |names: &[&str]| Request {
            excluded: names.iter().map(|text| name(text)).collect(),
            ..request(1, 1)
        };
        assert_eq!(chosen(&mut cluster, &without(&["a"])).unwrap(), "b", "{policy}");
        let told = cluster.place(&without(&["b", "a", "a", "c", "unknown"])).unwrap_err();
        assert_eq!(told.misfits, [(Misfit::Maintenance, 1), (Misfit::Excluded, 2)].into());
        assert_eq!(chosen(&mut cluster, &without(&[])).unwrap(), "a", "{policy}");
    }
}

#[test]
fn hosts_are_offered_the_best_first_until_one_is_allowed() {
    let names: Vec<String> = (0..7).map(|n| format!("n{n}")).collect();
    let mut hosts: Vec<Host> = names
        .iter()
        .zip([3, 6, 1, 7, 2, 5, 4])
        .map(|(text, used)| with_used(host(text, 8, 8), used, 0))
        .collect();
    hosts.push(Host { closed: Some(Misfit::Disabled), ..host("off", 8, 8) });
    let wanted = Request { excluded: vec![name("n5")], ..request(1, 1) };
    for policy in Policy::ALL {
        let mut cluster = cluster(policy, &hosts);
        let mut offered = Vec::new();
        let told = cluster.place_where(&wanted, |placement| {
            offered.push(placement.host);
            false
        });
        let expected = [(Misfit::Disabled, 1), (Misfit::Excluded, 1), (Misfit::Reserved, 6)];
        assert_eq!(told.unwrap_err().misfits, expected.into(), "{policy}");
        if policy == Policy::BestFit {
            assert_eq!(offered, [3, 1, 6, 0, 4, 2]);
        }
        if policy != Policy::Random {
            let ranks = cluster.ranks(&wanted);
            let mut sorted = offered.clone();
            sorted.sort_by(|one, other| {
                let (Ok(one), Ok(other)) = (&ranks[*one], &ranks[*other]) else { panic!() };
                other.order(one)
            });
            assert_eq!(offered, sorted, "{policy}");
        }
        let fourth = offered[3];
        if policy != Policy::Random {
            let placement = cluster.place_where(&wanted, |placement| placement.host == fourth);
            assert_eq!(placement.unwrap().host, fourth, "{policy}");
        }
        let only = Request { only: Some(name("n2")), ..wanted.clone() };
        assert_eq!(cluster.place_where(&only, |_| true).unwrap().host, 2);
        let told = cluster.place_where(&only, |_| false).unwrap_err();
        assert_eq!(told.misfits.get(&Misfit::Reserved), Some(&1));
    }
}

#[test]
fn only_one_host_is_looked_at_where_the_server_lies_there() {
    let hosts = [host("a", 8, 8), host("b", 8, 8), host("c", 8, 8)];
    let mut cluster = default_cluster(&hosts);
    let on = |text: &str| Request { only: Some(name(text)), ..request(6, 1) };
    let placement = cluster.place(&on("b")).unwrap();
    assert_eq!(placement.host, 1);
    cluster.take(&on("b"), &placement);
    let told = cluster.place(&on("b")).unwrap_err();
    assert_eq!(told.misfits, [(Misfit::Elsewhere, 2), (Misfit::Vcpus, 1)].into());
    assert_eq!(cluster.place(&on("gone")).unwrap_err().misfits, [(Misfit::Elsewhere, 3)].into());
}

#[test]
fn a_station_fills_its_own_hosts_first() {
    let own = Host { kept_for: vec!["b1".parse().unwrap()], ..host("z", 64, 256) };
    let hosts =
        [with_used(host("a", 64, 256), 60, 250), own, with_cards(host("g", 64, 256), &[T4])];
    let of = |station: Option<&str>| Request {
        station: station.map(|text| text.parse().unwrap()),
        ..request(2, 2)
    };
    for policy in Policy::ALL {
        let mut cluster = cluster(policy, &hosts);
        assert_eq!(chosen(&mut cluster, &of(Some("b1"))).unwrap(), "z", "{policy}");
        assert_ne!(chosen(&mut cluster, &of(Some("b2"))).unwrap(), "z", "{policy}");
        assert_ne!(chosen(&mut cluster, &of(None)).unwrap(), "z", "{policy}");
    }
}

#[test]
fn several_cards_are_near_each_other() {
    let mut hosts = [with_cards(host("a", 64, 256), &[A6000; 6])];
    for (card, numa_node) in hosts[0].cards.iter_mut().zip([0, 0, 1, 0, 1, 0]) {
        card.numa_node = Some(numa_node);
    }
    for policy in Policy::ALL {
        let mut cluster = cluster(policy, &hosts);
        // The smaller group that is enough, so that the four stay together.
        assert_eq!(cluster.place(&whole(2, 0)).unwrap().cards, [2, 4], "{policy}");
        assert_eq!(cluster.place(&whole(1, 0)).unwrap().cards, [2], "{policy}");
        assert_eq!(cluster.place(&whole(4, 0)).unwrap().cards, [0, 1, 3, 5], "{policy}");
        // None is enough: most of them near each other.
        assert_eq!(cluster.place(&whole(5, 0)).unwrap().cards, [0, 1, 2, 3, 5], "{policy}");
    }
}

#[test]
fn a_share_goes_to_the_fullest_card_that_has_it() {
    let hosts = [with_free(with_cards(host("a", 64, 256), &[T4; 4]), &[1000, 300, 700, 500])];
    let half = with_gpu(request(1, 1), share(500));
    for policy in Policy::ALL {
        let expected = match policy {
            Policy::Random => continue,
            // By its authors' rule the first of equals, and nothing is expected to be asked.
            Policy::Fgd => 0,
            _ => 3,
        };
        assert_eq!(cluster(policy, &hosts).place(&half).unwrap().cards, [expected], "{policy}");
    }
    let mut random = cluster(Policy::Random, &hosts);
    let cards: std::collections::BTreeSet<usize> =
        (0..100).map(|_| random.place(&half).unwrap().cards[0]).collect();
    assert_eq!(cards, [0, 2, 3].into());
}

#[test]
fn random_takes_each_host_about_as_often() {
    let hosts: Vec<Host> = (0..10).map(|n| host(&format!("n{n}"), 8, 8)).collect();
    let mut random = cluster(Policy::Random, &hosts);
    let mut counts = [0; 10];
    for _ in 0..2000 {
        counts[random.place(&request(1, 1)).unwrap().host] += 1;
    }
    assert!(counts.iter().all(|count| (120..=280).contains(count)), "{counts:?}");
    // The same seed, the same choices.
    let again = |seed| {
        let settings = Settings { policy: Policy::Random, seed, ..Settings::default() };
        let mut cluster = Cluster::new(hosts.clone(), settings);
        (0..20).map(|_| cluster.place(&request(1, 1)).unwrap().host).collect::<Vec<_>>()
    };
    assert_eq!(again(7), again(7));
    assert_ne!(again(7), again(8));
}

#[test]
fn nova_adds_memory_cpu_and_few_cards() {
    // Most memory, most CPU, fewest free cards: two against one.
    let hosts = [
        with_cards(host("cards", 64, 512), &[T4; 4]),
        with_free(with_cards(host("used", 64, 256), &[T4; 4]), &[1000, 0, 0, 0]),
        with_cards(host("small", 8, 64), &[T4; 4]),
    ];
    let nova = cluster(Policy::Nova, &hosts);
    let scores: Vec<f64> =
        nova.ranks(&whole(1, 0)).into_iter().map(|rank| rank.unwrap().score).collect();
    let expected = [1.0 + 1.0, (256.0 - 64.0) / (512.0 - 64.0) + 1.0 + 1.0, 0.0];
    assert!(
        scores.iter().zip(expected).all(|(score, value)| (score - value).abs() < 1e-9),
        "{scores:?}"
    );
    assert_eq!(chosen(&mut cluster(Policy::Nova, &hosts), &whole(1, 0)).unwrap(), "used");
    assert_eq!(chosen(&mut cluster(Policy::NovaRam, &hosts), &whole(1, 0)).unwrap(), "cards");
}

#[test]
fn taking_and_releasing_change_what_comes_next() {
    let mut cluster = default_cluster(&[with_cards(host("a", 8, 64), &[T4, T4])]);
    let wanted = whole(1, 0);
    let first = cluster.place(&wanted).unwrap();
    cluster.take(&wanted, &first);
    let second = cluster.place(&wanted).unwrap();
    assert_ne!(first.cards, second.cards);
    cluster.take(&wanted, &second);
    assert_eq!(cluster.place(&wanted).unwrap_err().misfits, [(Misfit::Gpus, 1)].into());
    cluster.release(&wanted, &first);
    assert_eq!(cluster.place(&wanted).unwrap(), first);
}

#[test]
fn a_replaced_host_counts_as_it_is_now() {
    let mut cluster = default_cluster(&[host("a", 8, 64), host("b", 8, 64)]);
    assert_eq!(chosen(&mut cluster, &request(1, 1)).unwrap(), "a");
    cluster.replace_host(1, with_used(host("b", 8, 64), 4, 32));
    assert_eq!(chosen(&mut cluster, &request(1, 1)).unwrap(), "b");
    cluster.replace_host(1, host("0", 64, 512));
    assert_eq!(cluster.index_of(&name("0")), Some(1));
    assert_eq!(cluster.index_of(&name("b")), None);
    assert_eq!(chosen(&mut cluster, &request(1, 1)).unwrap(), "a");
    cluster.replace_host(0, Host { closed: Some(Misfit::Disabled), ..host("a", 8, 64) });
    assert_eq!(chosen(&mut cluster, &request(1, 1)).unwrap(), "0");
    cluster.replace_host(7, host("x", 8, 64));
    assert_eq!(cluster.hosts().len(), 2);
}

#[test]
fn the_workload_is_what_is_asked_most() {
    let mut asked = vec![request(4, 1); 90];
    asked.extend(vec![whole(1, 8); 60]);
    asked.extend(vec![with_gpu(request(2, 2), share(250)); 40]);
    asked.extend((0..10).map(|n| request(100 + n, 1)));
    asked.reverse();
    let shapes = workload(&asked);
    let weights: Vec<f64> = shapes.iter().map(|shape| shape.weight * 190.0).collect();
    assert_eq!(shapes.len(), 3);
    assert!(
        weights.iter().zip([90.0, 60.0, 40.0]).all(|(a, b)| (a - b).abs() < 1e-9),
        "{weights:?}"
    );
    let first = Shape {
        cpu_milli: 4000,
        memory_mib: 0,
        gpu: GpuRequest::default(),
        weight: shapes[0].weight,
    };
    assert_eq!(shapes[0], first);
    assert_eq!(workload(&[]), []);
}

#[test]
fn policies_are_found_by_their_names() {
    for policy in Policy::ALL {
        assert_eq!(policy.to_string().parse(), Ok(policy));
        assert!(!policy.explanation().is_empty());
    }
    let told = "best".parse::<Policy>().unwrap_err().to_string();
    assert!(told.contains("fgd_bf"), "{told}");
}

#[test]
fn settings_that_make_no_sense_do_no_harm() {
    let hosts = [with_cards(host("a", 8, 64), &[T4]), host("b", 8, 64)];
    let nonsense =
        Shape { cpu_milli: u64::MAX, memory_mib: u64::MAX, gpu: share(0), weight: f64::NAN };
    for policy in Policy::ALL {
        let settings = Settings {
            policy,
            cpu_weight: f64::NAN,
            memory_weight: f64::INFINITY,
            workload: vec![nonsense.clone(), Shape { weight: -1.0, ..nonsense.clone() }],
            guard: Some(Guard { cpu_milli_per_card: u64::MAX, memory_mib_per_card: 0 }),
            seed: u64::MAX,
        };
        let mut cluster = Cluster::new(hosts.to_vec(), settings);
        assert!(cluster.place(&whole(1, 0)).is_ok(), "{policy}");
        let ranks = cluster.ranks(&request(1, 1));
        assert!(ranks.iter().flatten().all(|rank| rank.score.is_finite()), "{policy}");
    }
}
