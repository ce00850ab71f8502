//! The simulator reproduces what was published, and the policies keep their bars (few seeds; the
//! whole table is `beamdesk sched simulate`).

use std::sync::atomic::{AtomicUsize, Ordering};

use beamdesk_sched::{
    Policy, Settings,
    simulate::{
        Arrivals, Holding, Measure, Summary, Trace, WhatIf, heps, openb, openb_constrained,
        published, what_if,
    },
};

fn question(trace: Trace, policies: &[Policy], arrivals: Arrivals) -> WhatIf {
    WhatIf {
        trace,
        policies: policies.to_vec(),
        settings: Settings { guard: None, ..Settings::default() },
        arrivals,
        seeds: 42..=43,
        threads: 2,
    }
}

fn answer(question: &WhatIf) -> Vec<Summary> {
    what_if(question, &|| false, &|_, _, _| {}).unwrap()
}

fn mean(summary: &Summary, measure: Measure) -> f64 {
    summary.of(measure).unwrap().mean
}

const FILL: Arrivals = Arrivals::Fill { until: 1.3 };

#[test]
fn fgd_bf_keeps_its_bar_on_openb() {
    let summaries = answer(&question(openb().unwrap(), &[Policy::FgdBf], FILL));
    let of = |measure| mean(&summaries[0], measure);
    assert!(of(Measure::Alloc130) >= 95.2, "{:?}", summaries[0].measures);
    assert!(of(Measure::First) >= 94.0, "{:?}", summaries[0].measures);
    assert!(of(Measure::MultiFailed) <= 32.0, "{:?}", summaries[0].measures);
    assert!(of(Measure::Frag) <= 5.0, "{:?}", summaries[0].measures);
}

#[test]
fn expected_fill_leaves_less_over_than_fgd() {
    let summaries = answer(&question(openb().unwrap(), &[Policy::ExpectedFill], FILL));
    let of = |measure| mean(&summaries[0], measure);
    assert!(of(Measure::Alloc130) >= 96.0, "{:?}", summaries[0].measures);
    assert!(of(Measure::First) >= 94.0, "{:?}", summaries[0].measures);
    assert!(of(Measure::MultiFailed) <= 32.0, "{:?}", summaries[0].measures);
}

#[test]
fn baselines_agree_with_the_published_rows() {
    let policies = [Policy::Random, Policy::DotProduct, Policy::BestFit, Policy::Fgd];
    for summary in answer(&question(openb().unwrap(), &policies, FILL)) {
        let published = published(summary.policy, false).unwrap();
        let (ours100, ours130) =
            (mean(&summary, Measure::Alloc100), mean(&summary, Measure::Alloc130));
        assert!((ours130 - published.alloc130).abs() <= 0.7, "{} {ours130}", summary.policy);
        assert!((ours100 - published.alloc100).abs() <= 0.7, "{} {ours100}", summary.policy);
    }
}

#[test]
fn the_papers_policy_stays_as_weak_as_it_is() {
    let summaries = answer(&question(openb().unwrap(), &[Policy::Paper], FILL));
    let allocated = mean(&summaries[0], Measure::Alloc130);
    assert!((89.5..=91.5).contains(&allocated), "{allocated}");
    assert!(mean(&summaries[0], Measure::First) < 40.0, "{:?}", summaries[0].measures);
}

#[test]
fn wanted_models_are_respected_and_cost_fgd_little() {
    let summaries = answer(&question(openb_constrained().unwrap(), &[Policy::FgdBf], FILL));
    assert!(mean(&summaries[0], Measure::Alloc130) >= 94.3, "{:?}", summaries[0].measures);
}

#[test]
fn under_normal_load_no_request_for_several_cards_is_refused() {
    let churn = Arrivals::Churn { load: 0.85, holding: Holding::Exponential };
    let mut question = question(openb().unwrap(), &[Policy::FgdBf, Policy::ExpectedFill], churn);
    question.seeds = 42..=42;
    for summary in answer(&question) {
        assert!(mean(&summary, Measure::MultiFailed) < 0.5, "{:?}", summary.measures);
        assert!(mean(&summary, Measure::Alloc) > 75.0, "{:?}", summary.measures);
    }
}

#[test]
fn the_memory_filter_leaves_nobody_on_a_small_card_and_refuses_hardly_anybody() {
    let needs = |filtered| Arrivals::MemoryNeeds { load: 0.8, filtered };
    let trace = openb().unwrap();
    let told =
        answer(&question(trace.clone(), &[Policy::ExpectedFill, Policy::FgdBf], needs(true)));
    for told in &told {
        assert!(mean(told, Measure::TooSmall) < 1e-9, "{:?}", told.measures);
        assert!(mean(told, Measure::Blocked) <= 0.2, "{:?}", told.measures);
    }
    // What it is good for: without it some land where they cannot run.
    let untold = answer(&question(trace, &[Policy::Spread], needs(false)));
    assert!(mean(&untold[0], Measure::TooSmall) > 4.0, "{:?}", untold[0].measures);
}

#[test]
fn a_made_up_site_is_filled_and_emptied() {
    let filled = answer(&question(heps(0), &[Policy::FgdBf, Policy::Spread], FILL));
    assert!(mean(&filled[0], Measure::Alloc130) > mean(&filled[1], Measure::Alloc130) - 1.0);
    assert!(
        mean(&filled[0], Measure::First) > mean(&filled[1], Measure::First),
        "{:?}",
        filled[0].measures
    );
    let churn = Arrivals::Churn { load: 0.7, holding: Holding::Trace };
    let churned = answer(&question(heps(0), &[Policy::FgdBf], churn));
    assert!(mean(&churned[0], Measure::Blocked) < 2.0, "{:?}", churned[0].measures);
    assert!((60.0..75.0).contains(&mean(&churned[0], Measure::Alloc)), "{:?}", churned[0].measures);
}

#[test]
fn the_same_seeds_give_the_same_figures_on_any_number_of_threads() {
    let mut question = question(heps(3), &[Policy::FgdBf, Policy::Random, Policy::Fit], FILL);
    let two = answer(&question);
    question.threads = 1;
    assert!(answer(&question) == two);
    question.trace.hosts.reverse();
    question.policies = vec![Policy::FgdBf];
    for ((measure, turned), (_, straight)) in
        answer(&question)[0].measures.iter().zip(&two[0].measures)
    {
        // Sums over hosts are rounded in their order.
        assert!((turned.mean - straight.mean).abs() < 1e-9, "{measure:?} depends on the order");
    }
}

#[test]
fn a_simulation_can_be_stopped() {
    let asked = AtomicUsize::new(0);
    let stop = || asked.fetch_add(1, Ordering::Relaxed) > 100;
    let question = question(openb().unwrap(), &Policy::ALL, FILL);
    assert_eq!(what_if(&question, &stop, &|_, _, _| {}), None);
    assert!(asked.load(Ordering::Relaxed) < 110);
}
