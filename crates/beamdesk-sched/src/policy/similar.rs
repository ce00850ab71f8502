//! `fit`: the paper's similarity, repaired. Each resource is measured in the largest capacity of
//! it that any host has, and the similarity is Tanimoto's, which sees size.

use super::{
    Best, Outlook,
    formula::{SCORE_MAX, ratio, tanimoto},
    paper::{Vector, asked, best_group, idle},
};
use crate::{Host, Request};

pub(super) fn best(outlook: &Outlook, request: &Request, host: &Host) -> Best {
    let asked = normal(outlook, asked(request));
    let score = |group: &[usize]| SCORE_MAX * tanimoto(normal(outlook, idle(host, group)), asked);
    if request.wants_cards() {
        return best_group(request, host, score);
    }
    // All its free cards count as left over.
    let [_, _, _, cpus, memory] = normal(outlook, idle(host, &[]));
    let cards = ratio(super::formula::real(host.free_cards_milli()), outlook.maxima.cards_milli);
    Best { score: SCORE_MAX * tanimoto([cards, 0.0, 0.0, cpus, memory], asked), cards: Vec::new() }
}

fn normal(outlook: &Outlook, vector: Vector) -> [f64; 5] {
    let most = &outlook.maxima;
    let Vector([cards, card_memory, cores, cpus, memory]) = vector;
    [
        ratio(cards, most.cards_milli / 1000.0),
        ratio(card_memory, most.card_memory_mib),
        ratio(cores, most.card_cores),
        ratio(cpus, most.cpu_milli / 1000.0),
        ratio(memory, most.memory_mib),
    ]
}
