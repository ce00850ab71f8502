//! What holds for every cluster and every request.

use std::cmp::Ordering;

use beamdesk_sched::{
    Cluster, Guard, Host, Misfit, Placement, Policy, Request, Settings, Shape, fits,
    formula::{cosine, least_requested, tanimoto},
};
use beamdesk_types::{GpuRequest, WHOLE_CARD};
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, proptest},
    sample::{select, subsequence},
};

use crate::world::{A6000, GIB, Model, T4, V100, card, host, name};

const STATIONS: [&str; 2] = ["b1", "b2"];

fn any_host() -> impl Strategy<Value = Host> {
    let any_card = (
        select(&[A6000, T4, V100][..]),
        select(&[0_u32, 250, 500, 1000, 1000, 1000][..]),
        proptest::option::of(0_u32..2),
        any::<bool>(),
    );
    (
        (0_u64..20, 0_u64..20, 0_u64..6, 0_u64..6),
        vec(any_card, 0..5),
        proptest::option::weighted(0.1, select(&[Misfit::Disabled, Misfit::Maintenance][..])),
        proptest::bool::weighted(0.1),
        proptest::option::weighted(0.2, select(&STATIONS[..])),
    )
        .prop_map(
            |((cpus, cpus_used, memory, memory_used), cards, closed, is_stale, kept_for)| {
                let mut host = host("unnamed", cpus, 16 * memory);
                host.cpu_milli.used = 1000 * cpus_used.saturating_sub(8);
                host.memory_mib.used = 16 * GIB * memory_used.saturating_sub(3);
                host.cards = cards
                    .into_iter()
                    .enumerate()
                    .map(
                        |(index, (model, free_milli, numa_node, is_shared)): (
                            usize,
                            (Model, u32, _, _),
                        )| {
                            beamdesk_sched::CardRoom {
                                free_milli: if is_shared {
                                    free_milli
                                } else {
                                    free_milli / 1000 * 1000
                                },
                                numa_node,
                                is_shared,
                                ..card(model, index)
                            }
                        },
                    )
                    .collect();
                let kept_for =
                    kept_for.map(|station| station.parse().unwrap()).into_iter().collect();
                Host { closed, is_stale, kept_for, ..host }
            },
        )
}

fn any_hosts() -> impl Strategy<Value = Vec<Host>> {
    vec(any_host(), 0..9).prop_map(|mut hosts| {
        for (index, host) in hosts.iter_mut().enumerate() {
            host.name = name(&format!("n{index}"));
        }
        hosts
    })
}

fn any_gpu() -> impl Strategy<Value = GpuRequest> {
    let whole = (1_u32..4).prop_map(|count| GpuRequest::whole(count, 0));
    let share = select(&[250_u32, 500])
        .prop_map(|share_milli| GpuRequest { share_milli, ..GpuRequest::whole(1, 0) });
    let wants = proptest::prop_oneof![whole, share];
    let models =
        subsequence(vec!["T4".to_owned(), "RTX A6000".to_owned(), "none".to_owned()], 0..3);
    let some =
        (wants, select(&[0, 4 * GIB, 24 * GIB][..]), select(&[0_u32, 5000][..]), models).prop_map(
            |(gpu, memory_mib, cores, models)| GpuRequest { memory_mib, cores, models, ..gpu },
        );
    proptest::prop_oneof![Just(GpuRequest::default()), some]
}

fn any_request() -> impl Strategy<Value = Request> {
    let station = proptest::option::weighted(0.3, select(&STATIONS[..]));
    (0_u64..8, 0_u64..3, any_gpu(), station).prop_map(|(cpus, memory, gpu, station)| Request {
        cpu_milli: 1000 * cpus,
        memory_mib: 8 * GIB * memory,
        gpu,
        station: station.map(|text| text.parse().unwrap()),
        ..Request::default()
    })
}

fn any_settings() -> impl Strategy<Value = Settings> {
    let shape = (0_u64..8, any_gpu(), 1_u32..10).prop_map(|(cpus, gpu, weight)| Shape {
        cpu_milli: 1000 * cpus,
        memory_mib: 1024 * cpus,
        gpu,
        weight: f64::from(weight),
    });
    let guard = Guard { cpu_milli_per_card: 2000, memory_mib_per_card: 8 * GIB };
    (select(&Policy::ALL[..]), vec(shape, 0..6), any::<bool>(), 0_u64..4).prop_map(
        move |(policy, workload, is_guarded, seed)| Settings {
            policy,
            workload,
            guard: is_guarded.then_some(guard),
            seed,
            ..Settings::default()
        },
    )
}

/// The name of the host and the cards, which mean the same whatever the order of hosts.
fn named(cluster: &Cluster, placement: &Placement) -> (String, Vec<usize>) {
    (cluster.hosts()[placement.host].name.to_string(), placement.cards.clone())
}

/// Whether the host has what was given from it.
fn is_granted(request: &Request, host: &Host, cards: &[usize]) -> bool {
    let wanted = usize::try_from(request.gpu.count).unwrap();
    let has = |index: &usize| {
        let card = &host.cards[*index];
        let first = &host.cards[cards[0]];
        card.free_milli >= request.gpu.share_milli
            && (card.is_shared || request.gpu.share_milli == WHOLE_CARD)
            && u64::from(request.gpu.share_milli) * card.memory_mib >= request.gpu.memory_mib * 1000
            && card.cores >= request.gpu.cores
            && (request.gpu.models.is_empty()
                || request.gpu.models.iter().any(|m| **m == *card.model))
            && card.model == first.model
    };
    cards.len() == wanted
        && cards.windows(2).all(|pair| pair[0] < pair[1])
        && cards.iter().all(has)
        && request.cpu_milli <= host.cpu_milli.free()
        && request.memory_mib <= host.memory_mib.free()
        && host.closed.is_none()
}

/// Thousandths of cards of no use to the workload, on average: FGD's F, word for word.
fn useless_milli(host: &Host, workload: &[Shape]) -> f64 {
    let sum: f64 = workload.iter().map(|shape| shape.weight).sum();
    let free = |index: usize| f64::from(host.cards[index].free_milli);
    let all: f64 = (0..host.cards.len()).map(free).sum();
    let of_shape = |shape: &Shape| {
        let suits = |index: usize| {
            let gpu = GpuRequest { count: 1, ..shape.gpu.clone() };
            let alone = Request { gpu, ..Request::default() };
            is_granted(&alone, &Host { closed: None, ..host.clone() }, &[index])
        };
        let usable: Vec<usize> = (0..host.cards.len()).filter(|&index| suits(index)).collect();
        let wanted = usize::try_from(shape.gpu.count).unwrap();
        if wanted == 0 || usable.len() < wanted || host.cpu_milli.free() < shape.cpu_milli {
            all
        } else {
            all - usable.into_iter().map(free).sum::<f64>()
        }
    };
    workload.iter().map(|shape| shape.weight / sum * of_shape(shape)).sum()
}

proptest! {
    #[test]
    fn a_plain_look_at_every_host_gives_the_same_answer(
        hosts in any_hosts(),
        settings in any_settings(),
        requests in vec(any_request(), 1..4),
        steps in vec((0_usize..4, 0_usize..20, any_host()), 0..40),
    ) {
        let mut cluster = Cluster::new(hosts, settings);
        let mut taken: Vec<(Request, Placement)> = Vec::new();
        for (kind, chance, other) in steps {
            let request = &requests[chance % requests.len()];
            match (kind, taken.len(), cluster.hosts().len()) {
                (0, 1.., _) => {
                    let (request, placement) = taken.swap_remove(chance % taken.len());
                    cluster.release(&request, &placement);
                    continue;
                }
                (1, _, count @ 1..) => {
                    let index = chance % count;
                    taken.retain(|(_, placement)| placement.host != index);
                    let name = cluster.hosts()[index].name.clone();
                    cluster.replace_host(index, Host { name, ..other });
                    continue;
                }
                (2, _, count @ 1..) => {
                    let excluded = vec![cluster.hosts()[chance % count].name.clone()];
                    let request = Request { excluded, ..request.clone() };
                    check(&mut cluster, &request)?;
                    continue;
                }
                _ => {}
            }
            if let Some(placement) = check(&mut cluster, request)? {
                cluster.take(request, &placement);
                taken.push((request.clone(), placement));
            }
        }
        // Nothing is left of what was: a new cluster of the same hosts ranks them alike.
        if cluster.settings().policy != Policy::Random {
            let anew = Cluster::new(cluster.hosts().to_vec(), cluster.settings().clone());
            for request in &requests {
                prop_assert_eq!(cluster.ranks(request), anew.ranks(request));
            }
        }
    }

    #[test]
    fn the_order_of_hosts_never_matters(
        hosts in any_hosts(),
        settings in any_settings(),
        requests in vec(any_request(), 1..12),
        seed in any::<u64>(),
    ) {
        let mut shuffled: Vec<(u64, Host)> = hosts
            .iter()
            .enumerate()
            .map(|(n, host)| ((n as u64 + 1).wrapping_mul(seed | 1).rotate_left(17), host.clone()))
            .collect();
        shuffled.sort_by_key(|(key, _)| *key);
        let shuffled = shuffled.into_iter().map(|(_, host)| host).collect();
        let mut one = Cluster::new(hosts, settings.clone());
        let mut other = Cluster::new(shuffled, settings);
        for request in &requests {
            match (one.place(request), other.place(request)) {
                (Ok(first), Ok(second)) => {
                    prop_assert_eq!(named(&one, &first), named(&other, &second));
                    one.take(request, &first);
                    other.take(request, &second);
                }
                (first, second) => prop_assert_eq!(first, second),
            }
        }
    }

    #[test]
    fn nothing_is_given_that_is_not_there_nor_twice(
        hosts in any_hosts(),
        settings in any_settings(),
        requests in vec(any_request(), 1..30),
    ) {
        let mut cluster = Cluster::new(hosts.clone(), settings);
        let mut taken = Vec::new();
        for request in &requests {
            let Ok(placement) = cluster.place(request) else { continue };
            let host = &cluster.hosts()[placement.host];
            prop_assert!(is_granted(request, host, &placement.cards), "{request:?} {host:?}");
            cluster.take(request, &placement);
            taken.push((request, placement));
        }
        for (index, host) in cluster.hosts().iter().enumerate() {
            for (number, card) in host.cards.iter().enumerate() {
                let given: u32 = taken
                    .iter()
                    .filter(|(_, placement)| placement.host == index && placement.cards.contains(&number))
                    .map(|(request, _)| request.gpu.share_milli)
                    .sum();
                prop_assert_eq!(hosts[index].cards[number].free_milli, card.free_milli + given);
            }
        }
        for (request, placement) in taken.iter().rev() {
            cluster.release(request, placement);
        }
        prop_assert_eq!(cluster.hosts(), hosts);
    }

    #[test]
    fn fgd_is_what_its_definition_says(
        host in any_host(),
        settings in any_settings(),
        request in any_request(),
    ) {
        let workload = &settings.workload;
        let cluster = Cluster::new(vec![host.clone()], settings.clone());
        let before = useless_milli(&host, workload);
        prop_assert!((cluster.fragmentation_milli() - before).abs() < 1e-6);
        for policy in [Policy::Fgd, Policy::FgdBf] {
            let settings = Settings { policy, ..settings.clone() };
            let mut cluster = Cluster::new(vec![host.clone()], settings);
            let Ok(placement) = cluster.place(&request) else { return Ok(()) };
            let rank = cluster.ranks(&request)[0].unwrap();
            let fall = |cards: &[usize]| {
                let mut after = host.clone();
                after.take(&request, cards);
                before - useless_milli(&after, workload)
            };
            // Sums in another order may fall on the other side of a whole point.
            let points = |milli: f64| 100.0 / (1.0 + (-milli / 1000.0).exp());
            let chosen = points(fall(&placement.cards));
            prop_assert!((rank.score.floor() - chosen.floor()).abs() < 1e-9 || (chosen - chosen.round()).abs() < 1e-6);
            for card in 0..host.cards.len() {
                if placement.cards.len() == 1 && is_granted(&request, &host, &[card]) {
                    let worse = points(fall(&[card]));
                    prop_assert!(worse.floor() <= chosen.floor() + 1e-6 || (worse - worse.round()).abs() < 1e-6);
                }
            }
        }
    }

    #[test]
    fn a_host_without_cards_comes_first_for_a_desktop_without(
        hosts in any_hosts(),
        settings in any_settings(),
        request in any_request(),
    ) {
        let tiered = [Policy::Paper, Policy::PaperMib, Policy::Fit, Policy::FgdBf];
        if !tiered.contains(&settings.policy) || request.gpu.count > 0 {
            return Ok(());
        }
        let mut cluster = Cluster::new(hosts, settings);
        if let Ok(placement) = cluster.place(&request) {
            let is_free = |host: &Host| host.cards.is_empty() && fits(&request, host, None).is_ok();
            let has_free = cluster.hosts().iter().any(is_free);
            prop_assert_eq!(has_free, cluster.hosts()[placement.host].cards.is_empty());
        }
    }

    #[test]
    fn a_station_goes_to_its_own_host_when_one_of_the_kind_fits(
        hosts in any_hosts(),
        settings in any_settings(),
        request in any_request(),
    ) {
        let Some(station) = request.station.clone() else { return Ok(()) };
        if request.gpu.count == 0 {
            return Ok(());
        }
        let mut cluster = Cluster::new(hosts, settings);
        if let Ok(placement) = cluster.place(&request) {
            let own = |host: &Host| host.kept_for.contains(&station);
            let has_own = cluster.hosts().iter().any(|host| own(host) && fits(&request, host, None).is_ok());
            prop_assert_eq!(has_own, own(&cluster.hosts()[placement.host]));
        }
    }

    #[test]
    fn a_misfit_is_said_only_when_nothing_fits(
        hosts in any_hosts(),
        settings in any_settings(),
        request in any_request(),
    ) {
        let guard = settings.guard.filter(|_| !matches!(settings.policy, Policy::Paper | Policy::PaperMib));
        let reasons: Vec<_> = hosts.iter().map(|host| fits(&request, host, guard.as_ref())).collect();
        let count = hosts.len();
        match Cluster::new(hosts, settings).place(&request) {
            Ok(placement) => prop_assert_eq!(reasons[placement.host], Ok(())),
            Err(told) => {
                prop_assert_eq!((told.hosts, told.misfits.values().sum::<usize>()), (count, count));
                for (misfit, hosts) in told.misfits {
                    prop_assert_eq!(reasons.iter().filter(|r| **r == Err(misfit)).count(), hosts);
                }
            }
        }
    }

    #[test]
    fn least_requested_lies_between_nothing_and_the_highest_score(
        capacity in proptest::array::uniform2(1.0_f64..1e6),
        parts in proptest::array::uniform2(0.0_f64..=1.0),
        weight in 0.0_f64..=1.0,
    ) {
        let requested = [capacity[0] * parts[0], capacity[1] * parts[1]];
        let score = least_requested(capacity, requested, [weight, 1.0 - weight]);
        prop_assert!((0.0..=100.0 + 1e-9).contains(&score), "{score}");
    }

    /// The flaw of the paper's similarity, and that its repair has none of it.
    #[test]
    fn scaling_what_is_idle_leaves_the_cosine_and_lowers_tanimoto(
        idle in proptest::array::uniform5(0.0_f64..1.0),
        parts in proptest::array::uniform5(0.01_f64..=1.0),
        factor in 1.01_f64..50.0,
    ) {
        let idle = idle.map(|value| value + 0.01);
        let mut asked = idle;
        asked.iter_mut().zip(parts).for_each(|(value, part)| *value *= part);
        let scaled = idle.map(|value| value * factor);
        prop_assert!((cosine(idle, asked) - cosine(scaled, asked)).abs() < 1e-9);
        prop_assert!(tanimoto(scaled, asked) < tanimoto(idle, asked));
        prop_assert!(tanimoto(idle, asked) <= 1.0 + 1e-12);
        prop_assert!((tanimoto(idle, idle) - 1.0).abs() < 1e-12);
    }
}

/// Compares a decision with the ranks of all hosts, and gives it.
fn check(
    cluster: &mut Cluster,
    request: &Request,
) -> Result<Option<Placement>, proptest::test_runner::TestCaseError> {
    let decided = cluster.place(request);
    // After the decision: chance turns with each.
    let ranks = cluster.ranks(request);
    let best = (0..ranks.len()).filter(|&host| ranks[host].is_ok()).max_by(|&one, &other| {
        let order = match (&ranks[one], &ranks[other]) {
            (Ok(first), Ok(second)) => first.order(second),
            _ => Ordering::Equal,
        };
        order.then_with(|| cluster.hosts()[other].name.cmp(&cluster.hosts()[one].name))
    });
    prop_assert_eq!(decided.as_ref().ok().map(|placement| placement.host), best);
    if let Err(told) = &decided {
        for misfit in Misfit::ALL {
            let count = ranks.iter().filter(|rank| **rank == Err(misfit)).count();
            prop_assert_eq!(told.misfits.get(&misfit).copied().unwrap_or(0), count);
        }
    }
    Ok(decided.ok())
}
