//! What would happen if, for operators.

use axum::extract::State;
use beamdesk_http::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App,
    api::{
        error::{Answer, Errors},
        extract::Operator,
    },
    app::whatif::{self, Question, Source},
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WhatIf {
    /// Names of policies.
    policies: Vec<String>,
    /// Beyond those there are; negative: fewer.
    #[serde(default)]
    more_nodes: i32,
    #[serde(default = "half")]
    cpu_weight: f64,
    #[serde(default = "half")]
    memory_weight: f64,
    #[serde(default)]
    trace: TraceName,
    /// What is asked for, as part of all cards: 1.3 is more than there are.
    #[serde(default = "load")]
    load: f64,
    /// Whether desktops leave again.
    #[serde(default)]
    departures: bool,
    /// Runs of each policy, each with other chance.
    #[serde(default = "one")]
    seeds: u32,
}

/// Whose requests come.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum TraceName {
    /// This site's nodes, and what was asked of them in the last four weeks.
    #[default]
    History,
    /// A made-up facility.
    Heps,
    /// A published trace.
    Openb,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WhatIfAnswer {
    results: Vec<WhatIfResult>,
    nodes: usize,
    cards: usize,
    seeds: u32,
    seconds: f64,
    /// False: time was over before all was simulated.
    is_whole: bool,
}

#[derive(Debug, Serialize, ToSchema)]
struct WhatIfResult {
    policy: String,
    measures: Vec<MeasureView>,
    curve: Vec<CurvePoint>,
}

#[derive(Debug, Serialize, ToSchema)]
struct MeasureView {
    name: String,
    mean: f64,
    sd: f64,
}

/// In percent of all cards.
#[derive(Debug, Serialize, ToSchema)]
struct CurvePoint {
    load: f64,
    allocated: f64,
    frag: f64,
    refused: f64,
}

/// Simulates other settings. One at a time, a minute at most; ends when the request is aborted.
#[utoipa::path(post, path = "/whatif", tag = "administration", request_body = WhatIf,
    responses((status = OK, body = WhatIfAnswer), Errors))]
pub(super) async fn what_if(
    State(app): State<App>,
    _: Operator,
    Json(body): Json<WhatIf>,
) -> Answer<Json<WhatIfAnswer>> {
    let question = Question {
        policies: body.policies,
        more_nodes: body.more_nodes,
        cpu_weight: body.cpu_weight,
        memory_weight: body.memory_weight,
        source: match body.trace {
            TraceName::History => Source::History,
            TraceName::Heps => Source::Heps,
            TraceName::Openb => Source::Openb,
        },
        load: body.load,
        departures: body.departures,
        seeds: body.seeds,
    };
    let answer = whatif::ask(&app, &question).await?;
    let results = answer.results.into_iter().map(|summary| WhatIfResult {
        policy: summary.policy.name().to_owned(),
        measures: summary
            .measures
            .iter()
            .map(|(measure, spread)| MeasureView {
                name: measure.name().to_owned(),
                mean: spread.mean,
                sd: spread.sd,
            })
            .collect(),
        curve: summary
            .curve
            .iter()
            .map(|point| CurvePoint {
                load: point.load,
                allocated: point.allocated,
                frag: point.frag,
                refused: point.refused,
            })
            .collect(),
    });
    Ok(Json(WhatIfAnswer {
        results: results.collect(),
        nodes: answer.nodes,
        cards: answer.cards,
        seeds: question.seeds,
        seconds: answer.took.as_secs_f64(),
        is_whole: answer.is_whole,
    }))
}

fn half() -> f64 {
    0.5
}

fn load() -> f64 {
    1.3
}

fn one() -> u32 {
    1
}
