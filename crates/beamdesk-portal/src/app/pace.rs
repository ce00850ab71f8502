//! No more starts at once than the cloud can make: the others keep their place, and are told why.

use std::collections::BTreeMap;

use beamdesk_sched::queue::{Held, Plan, Wait};
use beamdesk_types::{Claim, Desktop, Goal, Phase};

/// Of these desktops those whose server the cloud is to make now, or soon: they have room already.
pub(crate) fn in_the_making<'a>(
    desktops: impl IntoIterator<Item = &'a Desktop>,
    claims: &[Claim],
) -> usize {
    let claimed: std::collections::HashSet<_> = claims.iter().map(|claim| claim.desktop).collect();
    let is_made = |desktop: &&Desktop| match desktop.phase {
        Phase::Building => desktop.goal == Goal::Running,
        Phase::Pending => desktop.goal == Goal::Running && claimed.contains(&desktop.id),
        Phase::Booting
        | Phase::Ready
        | Phase::Stopping
        | Phase::Stopped
        | Phase::Failed
        | Phase::Deleting
        | Phase::Deleted => false,
    };
    desktops.into_iter().filter(is_made).count()
}

/// Keeps of the starts so many that no more than `making_max` servers are in the making; `making`
/// are already. The rest come first among those who wait. `hosts` is how many there are.
pub(crate) fn pace(plan: &mut Plan, making: usize, making_max: Option<usize>, hosts: usize) {
    let Some(making_max) = making_max else { return };
    let room = making_max.saturating_sub(making);
    if plan.starts.len() <= room {
        return;
    }
    let paced = plan.starts.split_off(room);
    for wait in &mut plan.waits {
        wait.place += paced.len();
    }
    let waits = paced.into_iter().zip(1..).map(|(start, place)| Wait {
        id: start.id,
        place,
        estimate: None,
        misfits: BTreeMap::new(),
        hosts,
        held: Some(Held::Pace),
        shorter: None,
        nearest: Vec::new(),
        never: false,
    });
    let later = std::mem::take(&mut plan.waits);
    plan.waits = waits.chain(later).collect();
}

#[cfg(test)]
mod tests {
    use beamdesk_sched::{
        Placement,
        queue::{Held, Plan, Start},
    };
    use beamdesk_types::DesktopId;

    use super::pace;

    fn plan(starts: u128) -> Plan {
        let start = |n| Start {
            id: DesktopId::from_u128(n),
            placement: Placement { host: 0, cards: Vec::new() },
        };
        let mut plan = Plan { starts: (1..=starts).map(start).collect(), waits: Vec::new() };
        // One more that has no room.
        let mut held = Plan { starts: vec![start(99)], waits: Vec::new() };
        pace(&mut held, 0, Some(0), 3);
        plan.waits = held.waits;
        plan
    }

    #[test]
    fn as_many_start_as_the_cloud_makes_at_once_and_the_others_keep_their_order() {
        let mut paced = plan(4);
        pace(&mut paced, 1, Some(3), 3);
        let starts: Vec<_> = paced.starts.iter().map(|start| start.id).collect();
        assert_eq!(starts, [1, 2].map(DesktopId::from_u128));
        let waits: Vec<_> = paced.waits.iter().map(|wait| (wait.id, wait.place)).collect();
        assert_eq!(waits, [(3, 1), (4, 2), (99, 3)].map(|(n, p)| (DesktopId::from_u128(n), p)));
        assert_eq!(paced.waits[0].held, Some(Held::Pace));
    }

    #[test]
    fn a_cloud_that_says_nothing_gets_all_and_one_that_is_full_gets_none() {
        let mut free = plan(4);
        pace(&mut free, 1000, None, 3);
        assert_eq!(free, plan(4));
        let mut full = plan(4);
        pace(&mut full, 9, Some(8), 3);
        assert_eq!((full.starts.len(), full.waits.len()), (0, 5));
    }
}
