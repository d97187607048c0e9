//! Motions: edits at times, and every edit between them.
//!
//! A frame is an [`Edit`] like any other: the window, an export and the command line make the same picture of it.

use std::sync::Arc;

use crate::edit::{
    Between, Code, Direction, Easing, Edit, Kept, Move, NoiseMode, Playback, SECONDS, Sample, Shelf, Truncation,
    Waypoint, along_curve, straight,
};

/// Frames of one motion, at most: an hour at 25 a second has 90,000.
pub const MAX_FRAMES: usize = 100_000;

/// Why nothing can be played.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum MotionError {
    #[error("a motion needs two pictures or more; here is {found}", found = if *.0 == 0 { "none" } else { "one" })]
    Keys(usize),
    #[error("{0} s from a picture to the next, expected {least} to {most}", least = SECONDS.start(), most = SECONDS.end())]
    Seconds(f32),
    #[error("{0} frames a second, expected {least} to {most}", least = Playback::FPS.start(), most = Playback::FPS.end())]
    Rate(u32),
    #[error("{seconds:.0} s at {fps} frames a second are {frames} frames, expected at most {MAX_FRAMES}")]
    Frames { seconds: f64, fps: u32, frames: usize },
}

/// Two edits or more, each with the time to the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Motion {
    keys: Vec<Arc<Kept>>,
    /// When each key is passed, seconds; the end of the last one too where the motion loops.
    times: Vec<f64>,
    playback: Playback,
}

/// Where a motion goes from `from` to `to`, keys by number.
struct Leg {
    from: usize,
    to: usize,
    /// Share that lies behind, 0..1.
    share: f64,
}

impl Motion {
    /// # Errors
    /// There are fewer than two keys, or times and rates that cannot be played.
    pub fn new(keys: Vec<Arc<Kept>>, playback: Playback) -> Result<Self, MotionError> {
        if keys.len() < 2 {
            return Err(MotionError::Keys(keys.len()));
        }
        if !Playback::FPS.contains(&playback.fps) {
            return Err(MotionError::Rate(playback.fps));
        }
        let legs = if playback.loops { keys.len() } else { keys.len() - 1 };
        let mut micros = vec![0];
        for key in &keys[..legs] {
            if !SECONDS.contains(&key.seconds) {
                return Err(MotionError::Seconds(key.seconds));
            }
            micros.push(micros[micros.len() - 1] + whole_micros(key.seconds));
        }
        let times = micros.into_iter().map(seconds_of).collect();
        let motion = Motion { keys, times, playback };
        let (seconds, fps, frames) = (motion.seconds(), playback.fps, motion.frames());
        (frames <= MAX_FRAMES).then_some(motion).ok_or(MotionError::Frames { seconds, fps, frames })
    }

    /// The same motion in another time, `seconds` in all.
    ///
    /// # Errors
    /// As [`Motion::new`].
    pub fn lasting(&self, seconds: f64) -> Result<Self, MotionError> {
        let factor = (seconds / self.seconds()) as f32;
        let stretched = |key: &Arc<Kept>| Arc::new(Kept { seconds: factor * key.seconds, ..(**key).clone() });
        Motion::new(self.keys.iter().map(stretched).collect(), self.playback)
    }

    /// The shelf from left to right.
    ///
    /// # Errors
    /// As [`Motion::new`].
    pub fn of_shelf(shelf: &Shelf) -> Result<Self, MotionError> {
        Motion::new(shelf.iter().cloned().collect(), shelf.playback)
    }

    /// From edit to edit, `seconds` in all.
    ///
    /// # Errors
    /// As [`Motion::new`].
    pub fn walk(edits: Vec<Edit>, seconds: f64, playback: Playback) -> Result<Self, MotionError> {
        let legs = if playback.loops { edits.len() } else { edits.len().saturating_sub(1) };
        let seconds = (seconds / legs.max(1) as f64) as f32;
        Motion::new(edits.into_iter().map(|edit| Kept { edit, seconds, ..Kept::default() }.into()).collect(), playback)
    }

    /// A move from one distance to another and back.
    ///
    /// # Errors
    /// As [`Motion::new`].
    pub fn swing(
        edit: &Edit,
        direction: &Arc<Direction>,
        ends: [f32; 2],
        seconds: f64,
        playback: Playback,
    ) -> Result<Self, MotionError> {
        let at = |value| {
            let mut edit = edit.clone();
            edit.set_along(direction, value).enabled = true;
            edit
        };
        Motion::walk(ends.map(at).to_vec(), seconds, Playback { loops: true, ..playback })
    }

    pub fn playback(&self) -> Playback {
        self.playback
    }

    pub fn keys(&self) -> &[Arc<Kept>] {
        &self.keys
    }

    pub fn seconds(&self) -> f64 {
        self.times[self.times.len() - 1]
    }

    /// The key that was passed last when a frame is shown.
    pub fn key_of(&self, frame: usize) -> usize {
        self.leg(frame as f64 / f64::from(self.playback.fps)).from
    }

    /// At least 1. Where it does not loop, the last one shows the last key.
    pub fn frames(&self) -> usize {
        let steps = (self.seconds() * f64::from(self.playback.fps)).round() as usize;
        if self.playback.loops { steps.max(1) } else { steps + 1 }
    }

    /// The edit of a frame, from 0.
    pub fn frame(&self, number: usize) -> Edit {
        let is_last = !self.playback.loops && number + 1 >= self.frames();
        let seconds = if is_last { self.seconds() } else { number as f64 / f64::from(self.playback.fps) };
        let mut edit = self.at(seconds);
        edit.noise.seed = match edit.noise.mode {
            NoiseMode::Random if self.playback.fresh_noise => self.keys[0].edit.noise.seed.wrapping_add(number as u64),
            NoiseMode::Random => self.keys[0].edit.noise.seed,
            NoiseMode::Const | NoiseMode::None => edit.noise.seed,
        };
        edit
    }

    /// The edit at a time: that of a key when it is passed, however it is written.
    fn at(&self, seconds: f64) -> Edit {
        let Leg { from, to, share } = self.leg(seconds);
        let (start, end) = (&self.keys[from].edit, &self.keys[to].edit);
        if share <= 0.0 || self.keys[from].easing == Easing::Hold {
            return start.clone();
        }
        let path = self.path(from, to, share);
        Edit {
            sample: path.sample(),
            truncation: Truncation {
                psi: straight(start.truncation.psi.into(), end.truncation.psi.into(), share) as f32,
                cutoff: start.truncation.cutoff,
            },
            noise: start.noise,
            moves: path.moves(),
        }
    }

    fn leg(&self, seconds: f64) -> Leg {
        let seconds =
            if self.playback.loops { seconds.rem_euclid(self.seconds()) } else { seconds.clamp(0.0, self.seconds()) };
        let passed = self.times.partition_point(|&time| time <= seconds).max(1) - 1;
        let from = passed.min(self.keys.len() - 1);
        let Some(end) = self.times.get(from + 1) else { return Leg { from, to: from, share: 0.0 } };
        let share = (seconds - self.times[from]) / (end - self.times[from]);
        Leg { from, to: (from + 1) % self.keys.len(), share }
    }

    /// The edits that decide the way from one key to the next.
    fn path(&self, from: usize, to: usize, share: f64) -> Path<'_> {
        let key = |at: usize| &*self.keys[at];
        let seconds = |at: usize| seconds_of(whole_micros(key(at).seconds));
        let length = seconds(from);
        if key(from).easing == Easing::Linear {
            return Path { edits: vec![&key(from).edit, &key(to).edit], times: vec![0.0, length], at: share * length };
        }
        // At an end, and where it comes from a jump or goes to one, there is nothing to be continuous with: it starts gently.
        let count = self.keys.len();
        let before = if from > 0 || self.playback.loops { (from + count - 1) % count } else { from };
        let before = if key(before).easing == Easing::Hold { from } else { before };
        let after = if to + 1 < count || self.playback.loops { (to + 1) % count } else { to };
        let after = if key(to).easing == Easing::Hold { to } else { after };
        let lead = if before == from { length } else { seconds(before) };
        let trail = if after == to { length } else { seconds(to) };
        let edits = [before, from, to, after].map(|at| &key(at).edit).to_vec();
        Path { edits, times: vec![0.0, lead, lead + length, lead + length + trail], at: lead + share * length }
    }
}

/// Times are sums of whole microseconds, so that a frame that is meant to show a key does: ten times 0.1 s are 1 s.
fn whole_micros(seconds: f32) -> u64 {
    (f64::from(seconds) * 1e6).round() as u64
}

fn seconds_of(micros: u64) -> f64 {
    micros as f64 / 1e6
}

/// A place on the way from one key to the next: the two of them, or those before and behind them too ([`Between`]).
struct Path<'a> {
    edits: Vec<&'a Edit>,
    times: Vec<f64>,
    at: f64,
}

impl Path<'_> {
    /// The keys that it leads from and to.
    fn ends(&self) -> [&Edit; 2] {
        let behind = self.edits.len() / 2;
        [self.edits[behind - 1], self.edits[behind]]
    }

    fn sample(&self) -> Sample {
        let [from, to] = self.ends();
        if from.sample == to.sample && from.truncation == to.truncation {
            return from.sample.clone();
        }
        // Every frame's file would hold the photos of all.
        let without_photo = |sample: &Sample| Sample { photo: None, ..sample.clone() };
        let waypoint = |edit: &&Edit| Waypoint { sample: without_photo(&edit.sample), truncation: edit.truncation };
        let through = self.edits.iter().map(waypoint).collect();
        let between = Between { through, times: self.times.clone(), at: self.at };
        let (class, mix) = (from.sample.class, from.sample.mix);
        Sample { code: Code::Between(Box::new(between)), class, mix, ..Sample::default() }
    }

    /// Moves that are in one of the two keys only come from 0, or go there.
    fn moves(&self) -> Vec<Move> {
        let mut moves: Vec<Move> = Vec::new();
        for step in self.ends().into_iter().flat_map(|edit| &edit.moves).filter(|step| step.is_active()) {
            if moves.iter().any(|known| known.is_along(&step.direction)) {
                continue;
            }
            let values: Vec<f64> = self.edits.iter().map(|edit| value_along(edit, &step.direction)).collect();
            let behind = values.len() / 2;
            let value = match values[behind - 1] == values[behind] {
                true => values[behind],
                false => along_curve(&values, &self.times, self.at, |&a, &b, t| straight(a, b, t)),
            };
            moves.push(Move { value: value as f32, enabled: true, ..step.clone() });
        }
        moves
    }
}

/// How far an edit goes along a direction.
fn value_along(edit: &Edit, direction: &Direction) -> f64 {
    let along = edit.moves.iter().filter(|step| step.is_active() && step.is_along(direction));
    along.map(|step| f64::from(step.value)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::{LayerSet, Noise, Seed, Weighting};

    fn direction(index: usize) -> Arc<Direction> {
        Arc::new(Direction::sefa(LayerSet::range(0, 1), Weighting::Raw, index, vec![index as f32, 1.0]))
    }

    fn key(seed: u64, seconds: f32, easing: Easing) -> Arc<Kept> {
        let code = Code::Seed(Seed::studio(seed));
        let edit = Edit { sample: Sample { code, ..Sample::default() }, ..Edit::default() };
        Arc::new(Kept { edit, seconds, easing, ..Kept::default() })
    }

    fn motion(keys: Vec<Arc<Kept>>, loops: bool) -> Motion {
        Motion::new(keys, Playback { fps: 10, loops, fresh_noise: false }).unwrap()
    }

    fn between(edit: &Edit) -> &Between {
        match &edit.sample.code {
            Code::Between(between) => between,
            other => panic!("expected a code between others, found {other:?}"),
        }
    }

    fn seeds(between: &Between) -> Vec<u64> {
        let seed = |waypoint: &Waypoint| match waypoint.sample.code {
            Code::Seed(seed) => seed.number,
            _ => panic!("expected a seed"),
        };
        between.through.iter().map(seed).collect()
    }

    #[test]
    fn keys_are_passed_at_their_times_exactly() {
        let keys = vec![key(1, 0.5, Easing::Smooth), key(2, 0.3, Easing::Linear), key(3, 1.0, Easing::Hold)];
        let once = motion(keys.clone(), false);
        assert_eq!((once.seconds() as f32, once.frames()), (0.8, 9));
        let round = motion(keys.clone(), true);
        assert_eq!((round.seconds() as f32, round.frames()), (1.8, 18));
        for (frame, at) in [(0, 0), (5, 1), (8, 2)] {
            assert_eq!(once.frame(frame), keys[at].edit, "{frame}");
            assert_eq!(round.frame(frame), keys[at].edit, "{frame}");
        }
        assert_eq!(round.frame(17), keys[2].edit, "held to the end");
        for frame in [1, 4, 6, 7] {
            let edit = round.frame(frame);
            between(&edit).check().unwrap();
        }
    }

    #[test]
    fn smooth_ways_know_their_neighbours_and_straight_ones_their_ends() {
        let key = |seed| key(seed, 1.0, Easing::Smooth);
        let through = |motion: &Motion, frame| seeds(between(&motion.frame(frame)));
        let keys = vec![key(1), key(2), key(3), key(4)];
        let [once, round] = [false, true].map(|loops| motion(keys.clone(), loops));
        assert_eq!([5, 15, 25].map(|frame| through(&once, frame)), [[1, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 4]]);
        assert_eq!([5, 35].map(|frame| through(&round, frame)), [[4, 1, 2, 3], [3, 4, 1, 2]]);
        let mut keys = keys;
        Arc::make_mut(&mut keys[1]).easing = Easing::Linear;
        Arc::make_mut(&mut keys[2]).easing = Easing::Hold;
        let mixed = motion(keys, true);
        assert_eq!(through(&mixed, 15), [2, 3]);
        assert_eq!(through(&mixed, 35), [4, 4, 1, 2], "it comes from a jump");
        assert_eq!(mixed.frame(25), mixed.frame(20));
        // In the middle of its time, whatever the times of its neighbours.
        let edit = round.frame(15);
        assert_eq!(between(&edit).nearest().1, 0.5);
    }

    #[test]
    fn moves_come_from_nothing_and_go_there_and_psi_is_straight() {
        let mut keys = vec![key(1, 1.0, Easing::Linear), key(1, 1.0, Easing::Linear)];
        let muted = Move { enabled: false, ..Move::new(direction(3), 9.0) };
        Arc::make_mut(&mut keys[0]).edit.moves =
            vec![Move::new(direction(0), 2.0), Move::new(direction(1), -1.0), muted];
        Arc::make_mut(&mut keys[1]).edit.moves = vec![Move::new(direction(1), 1.0), Move::new(direction(2), 4.0)];
        Arc::make_mut(&mut keys[1]).edit.truncation.psi = 0.5;
        let edit = motion(keys, false).frame(5);
        let found: Vec<f32> =
            [0, 1, 2, 3].map(|index| edit.along(&direction(index)).map_or(0.0, |step| step.value)).into();
        assert_eq!((found, edit.truncation.psi), (vec![1.0, 0.0, 2.0, 0.0], 0.75));
    }

    #[test]
    fn a_swing_keeps_its_sample_and_comes_back_gently() {
        let edit = key(5, 1.0, Easing::Smooth).edit.clone();
        let playback = Playback { fps: 10, loops: false, fresh_noise: false };
        let swing = Motion::swing(&edit, &direction(0), [-3.0, 3.0], 4.0, playback).unwrap();
        assert_eq!(swing.frames(), 40);
        let values: Vec<f32> = (0..=40).map(|frame| swing.frame(frame).along(&direction(0)).unwrap().value).collect();
        assert_eq!((values[0], values[20], values[40]), (-3.0, 3.0, -3.0));
        assert!(values[10].abs() < 1e-6 && (1..20).all(|n| values[n] > values[n - 1] && values[n] == values[40 - n]));
        assert!(values[1] - values[0] < 0.2 * (values[10] - values[9]), "it starts gently");
        assert!((0..40).all(|frame| swing.frame(frame).sample == edit.sample));
    }

    #[test]
    fn a_walk_visits_its_seeds_and_noise_is_that_of_the_first() {
        let mut edit = key(0, 1.0, Easing::Smooth).edit.clone();
        edit.noise = Noise { mode: NoiseMode::Random, seed: 40 };
        let visited = [4, 8, 6].map(Seed::studio);
        let of_seed = |seed| Edit { sample: Sample { code: Code::Seed(seed), ..Sample::default() }, ..edit.clone() };
        let walk = |loops, fresh_noise| {
            Motion::walk(visited.map(of_seed).to_vec(), 3.0, Playback { fps: 2, loops, fresh_noise }).unwrap()
        };
        let (once, round) = (walk(false, false), walk(true, true));
        assert_eq!([once.frames(), round.frames()], [7, 6]);
        assert_eq!([0, 3, 6].map(|frame| once.frame(frame).sample.code), visited.map(Code::Seed));
        assert_eq!([0, 2, 4].map(|frame| round.frame(frame).sample.code), visited.map(Code::Seed));
        assert!((0..7).all(|frame| once.frame(frame).noise.seed == 40));
        assert_eq!([0, 1, 5].map(|frame| round.frame(frame).noise.seed), [40, 41, 45]);
    }

    #[test]
    fn what_cannot_be_played_is_refused() {
        let playback = Playback::default();
        let with = |count: u64, seconds, fps| {
            let keys = (0..count).map(|seed| key(seed, seconds, Easing::Smooth)).collect();
            Motion::new(keys, Playback { fps, ..playback }).map(|motion| motion.frames())
        };
        assert_eq!(with(1, 1.0, 30).unwrap_err().to_string(), "a motion needs two pictures or more; here is one");
        assert_eq!(with(0, 1.0, 30), Err(MotionError::Keys(0)));
        assert_eq!(with(2, 0.0, 30), Err(MotionError::Seconds(0.0)));
        assert!(matches!(with(2, f32::NAN, 30), Err(MotionError::Seconds(_))));
        assert_eq!(with(2, 1.0, 0), Err(MotionError::Rate(0)));
        assert_eq!(with(2, 1666.0, 30), Ok(99_960));
        let message = with(2, 1700.0, 30).unwrap_err().to_string();
        assert_eq!(message, "3400 s at 30 frames a second are 102000 frames, expected at most 100000");
    }
}
