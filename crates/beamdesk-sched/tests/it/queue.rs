//! The queue: order, backfill, reservations, and what those who wait are told.

use beamdesk_sched::{
    Booking, Guard, Host, Misfit, Request, Settings,
    queue::{
        Held, Job, Plan, QUEUE_MAX, Running, Situation, Until, Wait, extension, holdable, offers,
        plan,
    },
};
use beamdesk_types::{DesktopId, GpuRequest, ReservationId, SizeId};
use jiff::{SignedDuration, Timestamp};

use crate::{
    small::{hour, of_hour, station},
    world::{GIB, card, host, name, plain, request, with_cards, with_gpu},
};

/// All there is at hour 0.
#[derive(Default)]
struct Site {
    hosts: Vec<Host>,
    running: Vec<Running>,
    reservations: Vec<Booking>,
    queue: Vec<Job>,
    offers: Vec<(SizeId, Request)>,
    guard: Option<Guard>,
}

fn id(number: u128) -> DesktopId {
    DesktopId::from_u128(number)
}

fn cpus(count: u64) -> Request {
    request(count, 1)
}

fn cards(count: u32) -> Request {
    with_gpu(request(1, 1), GpuRequest::whole(count, 0))
}

fn of_station(request: Request, index: usize) -> Request {
    Request { station: Some(station(index)), ..request }
}

impl Site {
    /// Hosts `a`, `b`, … with so many CPUs and cards.
    fn of(hosts: &[(u64, usize)]) -> Self {
        let hosts = ('a'..='z').zip(hosts).map(|(letter, &(cpus, cards))| {
            with_cards(host(&letter.to_string(), cpus, 1000), &vec![plain(16 * GIB); cards])
        });
        Self { hosts: hosts.collect(), ..Self::default() }
    }

    /// Numbers from 100 on.
    fn runs(mut self, host: usize, request: Request, ends: Option<i64>) -> Self {
        let free = self.hosts[host].cards.iter().enumerate().filter(|(_, card)| card.is_free());
        let count = usize::try_from(request.gpu.count).unwrap();
        let cards: Vec<usize> = free.map(|(index, _)| index).take(count).collect();
        self.hosts[host].take(&request, &cards);
        let number = 100 + u128::try_from(self.running.len()).unwrap();
        let (group, ends) = ("runs".to_owned(), ends.map(hour));
        self.running.push(Running { id: id(number), group, request, host, cards, ends });
        self
    }

    /// Numbers from 0 on, each queued a minute after the one before it.
    fn waits(self, group: &str, request: Request, term: Option<i64>) -> Self {
        let queued = i64::try_from(self.queue.len()).unwrap();
        let queued = hour(-1) + SignedDuration::from_mins(queued);
        self.waits_since(group, request, term, queued)
    }

    fn waits_since(
        mut self,
        group: &str,
        request: Request,
        term: Option<i64>,
        queued: Timestamp,
    ) -> Self {
        let id = id(u128::try_from(self.queue.len()).unwrap());
        let term = term.map(SignedDuration::from_hours);
        self.queue.push(Job { id, group: group.to_owned(), request, queued, term });
        self
    }

    fn reserves(mut self, of: usize, request: Request, count: u32, from: i64, to: i64) -> Self {
        let id = ReservationId::from_u128(u128::try_from(self.reservations.len()).unwrap());
        let (from, to) = (hour(from), hour(to));
        self.reservations.push(Booking { id, station: station(of), request, count, from, to });
        self
    }

    fn offers(mut self, size: &str, request: Request) -> Self {
        self.offers.push((size.parse().unwrap(), request));
        self
    }

    fn situation(&self) -> Situation<'_> {
        Situation {
            now: hour(0),
            hosts: self.hosts.clone(),
            settings: Settings { guard: self.guard, ..Settings::default() },
            running: &self.running,
            reservations: &self.reservations,
            queue: &self.queue,
            offers: &self.offers,
        }
    }

    fn plan(&self) -> Plan {
        plan(&self.situation())
    }
}

fn started(plan: &Plan) -> Vec<u128> {
    let mut numbers: Vec<u128> = (0..2000)
        .filter(|number| plan.starts.iter().any(|start| start.id == id(*number)))
        .collect();
    numbers.sort_unstable();
    numbers
}

fn wait(plan: &Plan, number: u128) -> &Wait {
    plan.waits.iter().find(|wait| wait.id == id(number)).unwrap()
}

fn estimate(plan: &Plan, number: u128) -> Option<i64> {
    wait(plan, number).estimate.map(of_hour)
}

#[test]
fn who_needs_more_waits_and_the_short_ones_are_let_past_it() {
    let site = Site::of(&[(8, 0)])
        .runs(0, cpus(4), Some(10))
        .waits("a", cpus(8), Some(2))
        .waits("a", cpus(2), Some(10))
        .waits("a", cpus(2), Some(11));
    let plan = site.plan();
    assert_eq!(started(&plan), [1]);
    assert_eq!(estimate(&plan, 0), Some(10));
    assert_eq!(wait(&plan, 0).held, None);
    assert_eq!(wait(&plan, 0).misfits, [(Misfit::Vcpus, 1)].into());
    assert_eq!(wait(&plan, 2).held, Some(Held::Earlier));
    assert_eq!(wait(&plan, 2).misfits, [(Misfit::Reserved, 1)].into());
    assert_eq!(wait(&plan, 2).shorter, Some(hour(10)));
    assert_eq!(estimate(&plan, 2), Some(12));
    assert_eq!((wait(&plan, 0).place, wait(&plan, 2).place), (1, 2));
}

#[test]
fn a_long_one_goes_where_the_first_is_not_awaited() {
    let site = Site::of(&[(8, 0), (4, 0)])
        .runs(0, cpus(4), Some(10))
        .waits("a", cpus(8), Some(2))
        .waits("a", cpus(4), None);
    let plan = site.plan();
    assert_eq!(started(&plan), [1]);
    assert_eq!(site.hosts[plan.starts[0].placement.host].name, name("b"));
}

#[test]
fn behind_somebody_without_end_a_host_is_kept_for_the_first_all_the_same() {
    let site = Site::of(&[(0, 4), (0, 4)]);
    let hosts = site
        .hosts
        .into_iter()
        .map(|host| Host { cpu_milli: Site::of(&[(64, 0)]).hosts[0].cpu_milli, ..host });
    let site = Site { hosts: hosts.collect(), ..Site::default() }
        .runs(0, cards(2), None)
        .runs(1, cards(1), None)
        .runs(1, cards(1), None)
        .waits("a", cards(4), None)
        .waits("b", cards(1), None)
        .waits("c", cards(1), None)
        .waits("d", cards(1), None)
        .waits("e", cards(1), Some(1));
    let plan = site.plan();
    // Host a has the fewest in the way: nobody without end joins them there. Who has an end may.
    assert_eq!(started(&plan), [1, 2, 4]);
    for start in &plan.starts {
        let is_endless = start.id != id(4);
        assert_eq!(start.placement.host, usize::from(is_endless), "{start:?}");
    }
    assert_eq!(wait(&plan, 0).estimate, None);
    assert_eq!(wait(&plan, 3).held, Some(Held::Earlier));
}

#[test]
fn shares_are_those_of_the_paper_on_dominant_resources() {
    // Ghodsi et al., figure 3: 9 CPUs, 18 GB; A asks for <1 CPU, 4 GB>, B for <3 CPUs, 1 GB>.
    let mut site = Site { hosts: vec![host("a", 9, 18)], ..Site::default() };
    for _ in 0..10 {
        let queued = hour(-1);
        site = site.waits_since("a", request(1, 4), Some(5), queued);
        site = site.waits_since("b", request(3, 1), Some(5), queued);
    }
    let plan = site.plan();
    let of_a = started(&plan).iter().filter(|number| *number % 2 == 0).count();
    assert_eq!((of_a, plan.starts.len()), (3, 5));
}

#[test]
fn a_group_that_has_much_comes_after_one_that_has_nothing() {
    let mut site = Site::of(&[(4, 0)]).runs(0, cpus(2), None).waits("runs", cpus(2), None).waits(
        "new",
        cpus(2),
        None,
    );
    let plan = site.plan();
    assert_eq!(started(&plan), [1]);
    // Unless it has waited longer by as much of a day as it has of the cluster.
    site.queue[0].queued = hour(-14);
    assert_eq!(started(&site.plan()), [0]);
}

#[test]
fn within_a_group_who_came_first_is_first() {
    let mut site = Site::of(&[(2, 0)]).waits("a", cpus(2), None).waits("a", cpus(2), None);
    assert_eq!(started(&site.plan()), [0]);
    site.queue.reverse();
    assert_eq!(started(&site.plan()), [0]);
}

#[test]
fn nobody_waits_for_ever() {
    // Small ones come every hour; the large one, of a group that has most, still gets its turn.
    let mut site = Site::of(&[(4, 0)]).runs(0, cpus(1), Some(1));
    site = site.waits("runs", cpus(4), Some(1));
    let mut at = 0;
    while site.queue.iter().any(|job| job.id == id(0)) {
        let plan = plan(&Situation { now: hour(at), ..site.situation() });
        for start in &plan.starts {
            let index = site.queue.iter().position(|job| job.id == start.id).unwrap();
            let job = site.queue.remove(index);
            site.hosts[0].take(&job.request, &start.placement.cards);
            site.running.push(Running {
                id: job.id,
                group: job.group,
                request: job.request,
                host: 0,
                cards: Vec::new(),
                ends: Some(hour(at) + job.term.unwrap()),
            });
        }
        at += 1;
        assert!(at < 48, "starved");
        let (stay, leave) = site.running.drain(..).partition(|run| run.ends > Some(hour(at)));
        site.running = stay;
        for run in leave {
            site.hosts[0].release(&run.request, &[]);
        }
        let number = u128::try_from(at).unwrap();
        let (group, request) = (format!("person-{at}"), cpus(2));
        let term = Some(SignedDuration::from_hours(3));
        site.queue.push(Job { id: id(number), group, request, queued: hour(at), term });
    }
}

#[test]
fn room_is_held_for_a_station_from_the_beginning_of_its_time_to_the_end() {
    let site = Site::of(&[(4, 0)])
        .reserves(0, cpus(3), 1, 2, 6)
        .waits("a", cpus(2), Some(2))
        .waits("b", cpus(2), Some(3))
        .waits("c", cpus(1), None);
    let plan = site.plan();
    // The first is over in time, the second is not, the third leaves enough beside it.
    assert_eq!(started(&plan), [0, 2]);
    let second = wait(&plan, 1);
    assert_eq!(second.held, None, "it has no room anyway");
    assert_eq!(estimate(&plan, 1), Some(6));
    let plan = Site { queue: site.queue[1..2].to_vec(), ..site }.plan();
    let second = wait(&plan, 1);
    assert_eq!(second.held, Some(Held::Reservation(ReservationId::from_u128(0))));
    assert_eq!(second.shorter, Some(hour(2)));
}

#[test]
fn a_station_uses_the_room_that_is_held_for_it_and_others_do_not() {
    let site = Site::of(&[(4, 0)])
        .reserves(0, cpus(2), 2, 0, 6)
        .waits("a", cpus(2), Some(1))
        .waits("b", of_station(cpus(1), 0), Some(1))
        .waits("c", of_station(cpus(2), 0), Some(6))
        .waits("c", of_station(cpus(2), 0), Some(6));
    let plan = site.plan();
    assert_eq!(started(&plan), [2, 3], "less than was reserved counts as anybody's");
    assert_eq!(estimate(&plan, 0), Some(6));
}

#[test]
fn whoever_of_the_station_runs_already_counts() {
    let site = Site::of(&[(4, 0)])
        .runs(0, of_station(cpus(2), 0), Some(8))
        .reserves(0, cpus(2), 1, 2, 6)
        .waits("a", cpus(2), None);
    assert_eq!(started(&site.plan()), [0]);
    // But only as long as it runs, and once.
    let site = Site::of(&[(4, 0)])
        .runs(0, of_station(cpus(2), 0), Some(8))
        .reserves(0, cpus(2), 1, 2, 6)
        .reserves(0, cpus(2), 1, 4, 9)
        .waits("a", cpus(2), None)
        .waits("b", cpus(2), Some(4));
    let plan = site.plan();
    assert_eq!(started(&plan), [1]);
    assert_eq!(estimate(&plan, 0), Some(6));
}

#[test]
fn a_shared_card_is_kept_whole_for_who_needs_all_of_it() {
    let half = GpuRequest { share_milli: 500, ..GpuRequest::whole(1, 0) };
    let half = with_gpu(request(1, 1), half);
    let mut hosts = vec![with_cards(host("a", 64, 64), &[plain(GIB)])];
    hosts[0].cards.push(card(plain(GIB), 1));
    let site = Site { hosts, ..Site::default() }
        .reserves(0, cards(1), 1, 3, 6)
        .waits("a", half.clone(), None)
        .waits("b", half.clone(), None)
        .waits("c", half, None);
    let plan = site.plan();
    assert_eq!(started(&plan), [0, 1]);
    assert_eq!(plan.starts[0].placement.cards, plan.starts[1].placement.cards);
    assert_eq!(wait(&plan, 2).held, Some(Held::Reservation(ReservationId::from_u128(0))));
}

#[test]
fn who_waits_learns_what_would_start_now_the_nearest_first() {
    let site = Site::of(&[(8, 1), (8, 0)])
        .runs(0, cpus(6), None)
        .waits("a", cards(2), None)
        .offers("cpu-large", cpus(8))
        .offers("cpu-small", cpus(1))
        .offers("cpu-huge", cpus(9))
        .offers("card", cards(1))
        .offers("cards", cards(2))
        .offers("cpu-middle", cpus(2));
    let plan = site.plan();
    let nearest: Vec<&str> = wait(&plan, 0).nearest.iter().map(SizeId::as_str).collect();
    assert_eq!(nearest, ["card", "cpu-small", "cpu-middle"]);
    assert!(wait(&plan, 0).never);
    assert_eq!(wait(&plan, 0).misfits, [(Misfit::Gpus, 2)].into());
}

#[test]
fn an_offer_says_whether_it_would_start_after_all_who_wait() {
    let site = Site::of(&[(8, 1)])
        .runs(0, cpus(4), Some(3))
        .reserves(0, cards(1), 1, 5, 6)
        .waits("a", cpus(2), Some(1))
        .waits("a", cpus(8), Some(1));
    let asked = |name: &str, request: &Request, hours| {
        let term = Some(SignedDuration::from_hours(hours));
        (name.parse().unwrap(), request.clone(), term)
    };
    let asked = [
        asked("short", &cpus(2), 3),
        asked("long", &cpus(2), 4),
        asked("large", &cpus(3), 1),
        asked("card", &cards(1), 9),
    ];
    let told: Vec<_> =
        offers(&site.situation(), &asked).into_iter().map(|(_, told)| told).collect();
    assert_eq!(told[0], Ok(()));
    assert_eq!(told[1], Err([(Misfit::Reserved, 1)].into()), "somebody waits");
    assert_eq!(told[2], Err([(Misfit::Vcpus, 1)].into()));
    assert_eq!(told[3], Err([(Misfit::Reserved, 1)].into()), "a station comes");
}

#[test]
fn who_can_never_start_keeps_nobody_waiting() {
    let site = Site::of(&[(4, 0)])
        .runs(0, cpus(2), Some(5))
        .waits("a", cpus(5), None)
        .waits("a", cpus(4), Some(1))
        .waits("a", cpus(2), None)
        .waits("a", cpus(2), Some(5));
    let plan = site.plan();
    assert_eq!(started(&plan), [3]);
    assert_eq!((wait(&plan, 1).place, wait(&plan, 2).place, wait(&plan, 0).place), (1, 2, 3));
    assert!(wait(&plan, 0).never && !wait(&plan, 1).never);
    assert_eq!(estimate(&plan, 0), None);
}

#[test]
fn a_closed_host_holds_nobody_for_ever() {
    let mut site = Site::of(&[(4, 0)]).waits("a", cpus(4), None);
    site.hosts[0].closed = Some(Misfit::Maintenance);
    let plan = site.plan();
    let told = wait(&plan, 0);
    assert!(!told.never, "maintenance is over one day");
    assert_eq!((told.estimate, told.misfits.get(&Misfit::Maintenance)), (None, Some(&1)));
}

#[test]
fn a_term_is_extended_as_far_as_the_calendar_allows() {
    let site = Site::of(&[(4, 0)]).runs(0, cpus(2), Some(2)).reserves(0, cpus(3), 1, 5, 6);
    let situation = site.situation();
    assert_eq!(extension(&situation, id(100), hour(5)), Ok(hour(5)));
    assert_eq!(extension(&situation, id(100), hour(6)), Err(Until(hour(5))));
    assert_eq!(extension(&situation, id(100), hour(1)), Ok(hour(1)));
    assert_eq!(extension(&situation, id(7), hour(3)), Err(Until(hour(0))));
    // Who waits first was told that it starts at 2.
    let site = site.waits("a", cpus(4), Some(1));
    assert_eq!(extension(&site.situation(), id(100), hour(3)), Err(Until(hour(2))));
    // With another host that can hold the reservation instead there is no need to go.
    let site = Site::of(&[(4, 0), (4, 0)]).runs(0, cpus(2), Some(2)).reserves(0, cpus(3), 1, 5, 6);
    assert_eq!(extension(&site.situation(), id(100), hour(9)), Ok(hour(9)));
    // Of the station itself: it is one of those for whom room is held.
    let site =
        Site::of(&[(4, 0)]).runs(0, of_station(cpus(3), 0), Some(2)).reserves(0, cpus(3), 1, 5, 6);
    assert_eq!(extension(&site.situation(), id(100), hour(9)), Ok(hour(9)));
}

#[test]
fn a_reservation_says_beforehand_how_much_of_it_can_be_held() {
    let site = Site::of(&[(4, 2), (4, 0)]).runs(0, cards(1), Some(5)).reserves(1, cpus(4), 1, 0, 9);
    let wants = |request, count, from, to| {
        let id = ReservationId::from_u128(9);
        let (from, to) = (hour(from), hour(to));
        let booking = Booking { id, station: station(0), request, count, from, to };
        holdable(&site.situation(), &booking)
    };
    let found = wants(cards(1), 3, 4, 8);
    assert_eq!((found.in_time, found.ever), (1, 2));
    assert_eq!(wants(cards(1), 3, 5, 8).in_time, 2);
    assert_eq!(wants(cards(2), 1, 5, 8).in_time, 1);
    let found = wants(cpus(5), 1, 0, 1);
    assert_eq!((found.in_time, found.ever), (0, 0));
    assert_eq!(found.misfits, [(Misfit::Vcpus, 2)].into());
    assert_eq!(wants(cpus(1), u32::MAX, 0, 1).ever, 4);
}

#[test]
fn the_guard_holds_in_the_future_too() {
    let guard = Some(Guard { cpu_milli_per_card: 2000, memory_mib_per_card: 0 });
    let site = Site { guard, ..Site::of(&[(4, 1)]) };
    let plan = site.waits("a", cpus(3), None).plan();
    let told = wait(&plan, 0);
    assert_eq!((told.misfits.get(&Misfit::Guard), told.never), (Some(&1), false));
    assert_eq!(told.estimate, None);
}

#[test]
fn nonsense_is_planned_around() {
    let mut site = Site::of(&[(4, 1)]).waits("a", cpus(1), Some(-5)).waits("a", cards(64), None);
    site.queue[0].queued = Timestamp::MIN;
    site.queue[0].term = Some(SignedDuration::MAX);
    site.queue[1].queued = Timestamp::MAX;
    let request = cards(1);
    let (id, group) = (id(100), String::new());
    site.running.push(Running { id, group, request, host: 77, cards: vec![9], ends: None });
    let huge = Request { cpu_milli: u64::MAX, memory_mib: u64::MAX, ..cards(1) };
    site = site.reserves(0, huge, u32::MAX, -5, 900).reserves(0, cpus(1), u32::MAX, 5, 2);
    site = site.reserves(0, cards(1), u32::MAX, 0, 9);
    site.reservations[1].to = Timestamp::MAX;
    let plan = site.plan();
    assert_eq!(plan.starts.len() + plan.waits.len(), 2);
    assert!(wait(&plan, 1).never);
}

#[test]
fn who_is_far_behind_still_has_a_place() {
    let mut site = Site::of(&[(1, 0)]).runs(0, cpus(1), None);
    for _ in 0..QUEUE_MAX + 2 {
        site = site.waits("a", cpus(1), None);
    }
    let plan = site.plan();
    assert_eq!(plan.waits.len(), QUEUE_MAX + 2);
    for (index, wait) in plan.waits.iter().enumerate() {
        assert_eq!(wait.place, index + 1);
    }
}

#[test]
fn an_end_that_is_over_is_about_to_come() {
    let plan = Site::of(&[(1, 0)]).runs(0, cpus(1), Some(-1)).waits("a", cpus(1), None).plan();
    assert_eq!(started(&plan), [0_u128; 0]);
    assert_eq!(wait(&plan, 0).estimate, Some(hour(0) + SignedDuration::from_mins(1)));
}
