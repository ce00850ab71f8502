//! A capture in which all of a large picture is new: what it takes on the clock, and of all threads.

use std::time::{Duration, Instant};

use beamdesk_media::X11Source;

use crate::desk::Desk;
use crate::figures::{Figures, cpu_of_all};
use crate::{next_update, now, settle};

const WIDTH: u16 = 3840;
const HEIGHT: u16 = 2160;
const ROUNDS: usize = 40;

pub(crate) fn measure(figures: &mut Figures) -> anyhow::Result<()> {
    let desk = Desk::start(WIDTH, HEIGHT)?;
    let mut source = X11Source::connect(desk.display())?;
    settle(&mut source)?;
    let (mut wall, mut work) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        desk.fill(round % 2 == 0, (0, 0), (WIDTH, HEIGHT))?;
        let (began, before): (Instant, Duration) = (now(), cpu_of_all());
        next_update(&mut source)?;
        wall.push(now() - began);
        work.push(cpu_of_all().saturating_sub(before));
        settle(&mut source)?;
    }
    figures.times("media.capture_whole_2160p_wall", &wall);
    figures.times("media.capture_whole_2160p_cpu", &work);
    Ok(())
}
