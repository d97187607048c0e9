//! Small pictures on screen, whoever shows them: which are there, which are wanted, and which are being made.
//!
//! Whatever shows tiles says in every frame what each of its places wants ([`Tiles::show`]); at the end of the frame the most
//! urgent that are not there are asked for in one round ([`Tiles::send`]). While the edit is being changed a round is always
//! finished before the next one begins, so that no place falls behind the hand by more than that.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use egui::{Id, Rect, Ui, Vec2, vec2};

use super::style;
use super::surface::PicturePipeline;
use crate::edit::Edit;
use crate::failure::Failure;
use crate::render::{Tile, TileCache, TileKey, ViewId};
use crate::worker::{Background, Job, JobId, ModelId};

/// Of tiles that were made, in bytes: about 5000 small ones.
const CACHE_BYTES: u64 = 64 << 20;
/// Frames of the window after which a place that is not shown gives its texture back.
const KEPT_FRAMES: u64 = 120;
/// A round that takes longer (seconds) is made of coarser tiles while the edit is being changed.
const LIVE_ROUND: f32 = 0.1;
/// Nothing is recognised on coarser ones, in pixels.
const LEAST_SIDE: usize = 32;
/// An edit that changes again so soon (seconds) is still being changed so long: keys and wheels have no release.
const STILL_CHANGING: f64 = 0.2;

/// What a place on screen wants to show.
pub struct Want {
    pub edit: Edit,
    /// Of the larger side, in pixels of the screen.
    pub side: usize,
    /// Those nearest to 0 are made first.
    pub urgency: f32,
    /// Is made while the edit is being changed, too.
    pub live: bool,
}

/// What a place shows.
#[derive(Clone)]
pub struct ShownTile {
    /// `None` if the window paints nothing, as in tests of its logic.
    texture: Option<Arc<wgpu::Texture>>,
    /// In its own pixels.
    size: Vec2,
    /// False of the one before it, until the tile that is wanted is there.
    pub is_current: bool,
}

/// The tiles of the open model.
pub struct Tiles {
    picture_pipeline: Option<PicturePipeline>,
    cache: TileCache,
    slots: HashMap<Id, Slot>,
    frame: u64,
    /// Places that the last frame showed and that were as they wanted.
    shown: usize,
    /// Of the present frame so far.
    shown_now: usize,
    /// What this frame wants and has not.
    wanted: Vec<(TileKey, Id, Want)>,
    round: Option<Round>,
    /// Tiles that cannot be made; the picture says why when its value is taken.
    refused: HashSet<TileKey>,
    /// Seconds that one tile of a side took in the last such round.
    seconds_each: HashMap<usize, f32>,
    /// The edit of the last frame, and when it became another one, the last two times, in seconds of the window's time.
    edit: Edit,
    changed: [f64; 2],
}

struct Slot {
    tile: Arc<Tile>,
    /// It holds the tile, if it does; else it is that of the tile before.
    texture: Option<Arc<wgpu::Texture>>,
    is_uploaded: bool,
    /// The frame that showed it last.
    frame: u64,
}

/// Tiles that are being made.
struct Round {
    job: JobId,
    began: Instant,
    /// Of the pixels that are made, which are fewer than those that are wanted where it is coarse.
    side: usize,
    is_coarse: bool,
    /// It was asked for while the edit was being changed.
    is_live: bool,
    /// The places that wait for each tile.
    places: HashMap<TileKey, Vec<Id>>,
    count: usize,
}

impl Tiles {
    pub fn new(picture_pipeline: Option<PicturePipeline>) -> Self {
        Tiles {
            picture_pipeline,
            cache: TileCache::new(CACHE_BYTES),
            slots: HashMap::new(),
            frame: 0,
            shown: 0,
            shown_now: 0,
            wanted: Vec::new(),
            round: None,
            refused: HashSet::new(),
            seconds_each: HashMap::new(),
            edit: Edit::default(),
            changed: [f64::NEG_INFINITY; 2],
        }
    }

    /// What a place shows now: the tile that it wants, or the one before it until that is made.
    pub fn show(&mut self, place: Id, want: Want) -> Option<ShownTile> {
        let key = self.cache.key(&want.edit, want.side);
        let tile = self.cache.get(&key);
        let is_current = tile.is_some();
        match tile {
            Some(tile) => {
                self.shown_now += 1;
                self.put(place, tile);
            }
            None if self.refused.contains(&key) => {}
            None => self.wanted.push((key, place, want)),
        }
        let slot = self.slots.get_mut(&place)?;
        slot.frame = self.frame;
        let pixels = &slot.tile.pixels;
        if let Some(pipeline) = self.picture_pipeline.as_ref().filter(|_| !slot.is_uploaded) {
            (slot.texture, slot.is_uploaded) = (Some(pipeline.uploaded(pixels, slot.texture.take())), true);
        }
        let size = vec2(pixels.width as f32, pixels.height as f32);
        Some(ShownTile { texture: slot.texture.clone(), size, is_current })
    }

    /// A place has another tile from now on.
    fn put(&mut self, place: Id, tile: Arc<Tile>) {
        let frame = self.frame;
        let slot = self.slots.entry(place).or_insert_with(|| Slot {
            tile: tile.clone(),
            texture: None,
            is_uploaded: false,
            frame,
        });
        if !Arc::ptr_eq(&slot.tile, &tile) {
            (slot.tile, slot.is_uploaded, slot.frame) = (tile, false, frame);
        }
    }

    /// The end of a frame: the tiles that it wants and has not are asked for. `edit` is the present one, which `pressed` may
    /// be changing. `now` is the window's time in seconds. Returns when to look again, in seconds.
    pub fn send(
        &mut self,
        edit: &Edit,
        pressed: bool,
        now: f64,
        model: ModelId,
        background: &dyn Background,
    ) -> Option<f32> {
        self.frame += 1;
        self.shown = std::mem::take(&mut self.shown_now);
        let oldest = self.frame.saturating_sub(KEPT_FRAMES);
        self.slots.retain(|_, slot| slot.frame >= oldest);
        if self.edit != *edit {
            (self.edit, self.changed) = (edit.clone(), [self.changed[1], now]);
        }
        let mut wanted = std::mem::take(&mut self.wanted);
        let [before, last] = self.changed;
        let is_changing = pressed || now - last < STILL_CHANGING && last - before < STILL_CHANGING;
        if is_changing {
            wanted.retain(|(.., want)| want.live);
            if !wanted.is_empty() && self.round.as_ref().is_none_or(|round| !round.is_live) {
                self.ask(wanted, true, model, background);
            }
            return (!pressed).then_some(STILL_CHANGING as f32);
        }
        let is_asked = |key: &TileKey| self.round.as_ref().is_some_and(|round| round.places.contains_key(key));
        if wanted.is_empty() {
            // Scrolled away: what is not wanted any more is not made.
            self.round.take().into_iter().for_each(|round| background.cancel(round.job));
        } else if !most_urgent(&mut wanted).iter().all(|(key, ..)| is_asked(key)) {
            self.ask(wanted, false, model, background);
        }
        None
    }

    /// Begins a round: the most urgent of `wanted`, and all others of its size.
    fn ask(
        &mut self,
        mut wanted: Vec<(TileKey, Id, Want)>,
        is_changing: bool,
        model: ModelId,
        background: &dyn Background,
    ) {
        let wanted = most_urgent(&mut wanted);
        let Some(full) = wanted.first().map(|(.., want)| want.side) else { return };
        let count = wanted.len();
        let side = if is_changing { self.live_side(full, count) } else { full };
        let is_coarse = side != full;
        let mut places: HashMap<TileKey, Vec<Id>> = HashMap::new();
        let mut edits = Vec::new();
        for (_, place, want) in wanted {
            let key = self.cache.key(&want.edit, side);
            let waiting = places.entry(key).or_default();
            if waiting.is_empty() {
                edits.push(want.edit.clone());
            }
            waiting.push(*place);
        }
        let count = edits.len();
        let job = background.send(Job::Tiles { model, base: ViewId::PICTURE, side, exact: false, wanted: edits });
        let began = Instant::now();
        self.round = Some(Round { job, began, side, is_coarse, is_live: is_changing, places, count });
    }

    /// The side of tiles of which a round is made while the edit is being changed: the largest that is quick enough, as far as is
    /// known.
    fn live_side(&self, full: usize, count: usize) -> usize {
        let is_quick = |side: &usize| self.seconds_each.get(side).is_none_or(|each| each * count as f32 <= LIVE_ROUND);
        let coarse = std::iter::successors(Some(coarse(full)), |side| Some(side / 2));
        let sides = std::iter::once(full).chain(coarse.take_while(|side| *side >= LEAST_SIDE));
        let slowest = sides.clone().last().unwrap_or(full);
        sides.into_iter().find(is_quick).unwrap_or(slowest)
    }

    /// Tiles were made; `left` are not yet.
    pub fn take(&mut self, job: JobId, made: Vec<(Edit, Result<Tile, Failure>)>, left: usize) {
        let Some(round) = self.round.as_mut().filter(|round| round.job == job) else { return };
        let mut arrived = Vec::new();
        for (edit, tile) in made {
            let key = self.cache.key(&edit, round.side);
            let Ok(tile) = tile.map(Arc::new) else {
                self.refused.insert(key);
                continue;
            };
            if !round.is_coarse {
                self.cache.insert(key, tile.clone());
            }
            let places = round.places.get(&key).into_iter().flatten();
            arrived.extend(places.map(|place| (*place, tile.clone())));
        }
        if left == 0 {
            let each = round.began.elapsed().as_secs_f32() / round.count.max(1) as f32;
            self.seconds_each.insert(round.side, each);
            self.round = None;
        }
        arrived.into_iter().for_each(|(place, tile)| self.put(place, tile));
    }

    /// Tiles will not be made: because newer ones are wanted, or because they cannot be (`failed`). True if it was these.
    pub fn end(&mut self, job: JobId, failed: bool) -> bool {
        let ended = self.round.take_if(|round| round.job == job);
        if failed {
            // They are not tried again in the next frame.
            self.refused.extend(ended.iter().flat_map(|round| round.places.keys()));
        }
        ended.is_some()
    }

    /// Paints a tile as large as fits into `place`; one that is not current is dimmed if asked for.
    pub fn paint(&self, ui: &Ui, place: Rect, shown: Option<&ShownTile>, dims: bool) {
        let ground = style::palette(ui).field;
        let fitted = shown.map(|shown| {
            let scale = (place.width() / shown.size.x.max(1.0)).min(place.height() / shown.size.y.max(1.0));
            Rect::from_center_size(place.center(), shown.size * scale)
        });
        // What a picture covers is not painted twice: software rasterisers take long for it.
        if fitted.is_none_or(|fitted| (fitted.size() - place.size()).abs().max_elem() > 0.5) {
            ui.painter().rect_filled(place, 0.0, ground);
        }
        let Some((shown, fitted)) = shown.zip(fitted) else { return };
        if let (Some(pipeline), Some(texture)) = (&self.picture_pipeline, &shown.texture) {
            pipeline.paint(ui.painter(), texture, fitted);
        }
        if dims && !shown.is_current {
            ui.painter().rect_filled(fitted, 0.0, ground.gamma_multiply(0.5));
        }
    }

    /// True while a round is made of an edit that is being changed.
    pub fn are_live(&self) -> bool {
        self.round.as_ref().is_some_and(|round| round.is_live)
    }

    /// Places on screen that show what they want, not the tile before it.
    pub fn shown(&self) -> usize {
        self.shown
    }

    /// Another model, or the same one read in another way.
    pub fn clear(&mut self) {
        *self = Tiles { frame: self.frame, ..Tiles::new(self.picture_pipeline.take()) };
    }
}

/// Sorts by urgency; the first of them, and those that are made with it.
fn most_urgent(wanted: &mut Vec<(TileKey, Id, Want)>) -> &[(TileKey, Id, Want)] {
    wanted.sort_by(|(.., a), (.., b)| a.urgency.total_cmp(&b.urgency));
    if let Some(side) = wanted.first().map(|(.., want)| want.side) {
        wanted.retain(|(.., want)| want.side == side);
    }
    wanted
}

/// A side for tiles that come quickly: networks have pictures of powers of two on their way.
fn coarse(side: usize) -> usize {
    let half = (side / 2).max(1);
    1 << half.ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::{Code, Sample, Seed};
    use crate::render::Pixels;
    use crate::worker::Event;
    use std::cell::RefCell;
    use std::time::Duration;

    /// Remembers what it is asked for.
    #[derive(Default)]
    struct Asked {
        rounds: RefCell<Vec<(JobId, usize, Vec<Edit>)>>,
        cancelled: RefCell<Vec<JobId>>,
    }

    impl Background for Asked {
        fn send(&self, job: Job) -> JobId {
            let id = JobId::fresh();
            if let Job::Tiles { side, wanted, .. } = job {
                self.rounds.borrow_mut().push((id, side, wanted));
            }
            id
        }

        fn cancel(&self, job: JobId) {
            self.cancelled.borrow_mut().push(job);
        }

        fn look_at(&self, _: ViewId) {}

        fn expect_edits(&self, _: bool) {}

        fn events(&self, _: Duration) -> Vec<Event> {
            Vec::new()
        }

        fn is_idle(&self) -> bool {
            true
        }

        fn is_alive(&self) -> bool {
            true
        }
    }

    fn of_seed(number: u64) -> Edit {
        let code = Code::Seed(Seed { number, ..Seed::default() });
        Edit { sample: Sample { code, ..Sample::default() }, ..Edit::default() }
    }

    fn tile(value: u8) -> Tile {
        Tile { pixels: Pixels { width: 1, height: 1, channels: 1, data: vec![value] }, is_exact: true }
    }

    fn model() -> ModelId {
        ModelId::opened_by(JobId::fresh())
    }

    struct Screen {
        tiles: Tiles,
        asked: Asked,
        model: ModelId,
    }

    impl Screen {
        fn new() -> Self {
            Screen { tiles: Tiles::new(None), asked: Asked::default(), model: model() }
        }

        /// A frame that shows these seeds, each in a place of its own; returns which places are current.
        fn frame(&mut self, seeds: &[u64], side: usize, live: bool, pressed: bool, now: f64) -> Vec<Option<bool>> {
            let shown = seeds.iter().enumerate().map(|(n, &seed)| {
                let want = Want { edit: of_seed(seed), side, urgency: n as f32, live };
                self.tiles.show(Id::unique(("place", n)), want).map(|shown| shown.is_current)
            });
            let shown = shown.collect();
            self.tiles.send(&of_seed(seeds.first().copied().unwrap_or(0)), pressed, now, self.model, &self.asked);
            shown
        }

        fn rounds(&self) -> usize {
            self.asked.rounds.borrow().len()
        }

        fn answer(&mut self) {
            let (job, _, wanted) = self.asked.rounds.borrow().last().cloned().unwrap();
            let made = wanted.into_iter().map(|edit| (edit, Ok(tile(1)))).collect();
            self.tiles.take(job, made, 0);
        }
    }

    #[test]
    fn what_is_wanted_is_asked_for_once_and_shown_when_it_is_there() {
        let mut screen = Screen::new();
        assert_eq!(screen.frame(&[1, 2], 64, false, false, 1.0), [None, None]);
        screen.frame(&[1, 2], 64, false, false, 2.0);
        screen.frame(&[1, 2], 64, false, false, 3.0);
        assert_eq!(screen.rounds(), 1);
        screen.answer();
        assert_eq!(screen.frame(&[1, 2], 64, false, false, 4.0), [Some(true), Some(true)]);
        assert_eq!((screen.rounds(), screen.tiles.shown()), (1, 2));
        assert_eq!(screen.frame(&[1, 3], 64, false, false, 5.0), [Some(true), Some(false)]);
        assert_eq!(screen.asked.rounds.borrow()[1].2, [of_seed(3)], "what is there is not made again");
    }

    #[test]
    fn while_the_edit_changes_rounds_are_finished_and_only_live_places_are_made() {
        let mut screen = Screen::new();
        screen.frame(&[1, 2], 64, false, true, 1.0);
        assert_eq!(screen.rounds(), 0, "a strip waits for the release");
        screen.frame(&[3, 4], 64, true, true, 1.1);
        screen.frame(&[5, 6], 64, true, true, 1.2);
        screen.frame(&[7, 8], 64, true, true, 1.3);
        assert_eq!(screen.rounds(), 1);
        screen.answer();
        let shown = screen.frame(&[7, 8], 64, true, true, 1.4);
        assert_eq!(shown, [Some(false), Some(false)], "what was made for older edits is shown meanwhile");
        assert_eq!((screen.rounds(), screen.asked.rounds.borrow()[1].2.clone()), (2, vec![of_seed(7), of_seed(8)]));
        assert!(screen.asked.cancelled.borrow().is_empty());
        // A key has no release: the edit that it changed is new for a moment.
        screen.frame(&[9, 8], 64, true, false, 1.45);
        assert_eq!(screen.rounds(), 2);
        screen.frame(&[9, 8], 64, true, false, 2.0);
        assert_eq!(screen.rounds(), 3, "at rest the newest is wanted at once");
    }

    #[test]
    fn slow_rounds_become_coarse_while_the_edit_changes_and_fine_at_rest() {
        let mut screen = Screen::new();
        screen.tiles.seconds_each.insert(180, 0.08);
        screen.frame(&[1, 2], 180, true, true, 1.0);
        assert_eq!(screen.asked.rounds.borrow()[0].1, 64);
        screen.answer();
        assert_eq!(screen.frame(&[1, 2], 180, true, true, 1.1), [Some(false), Some(false)]);
        screen.answer();
        screen.frame(&[1, 2], 180, true, false, 2.0);
        assert_eq!(screen.asked.rounds.borrow().last().unwrap().1, 180);
        assert_eq!(screen.tiles.seconds_each[&180], 0.08, "coarse ones tell nothing of fine ones");
        screen.answer();
        assert_eq!(screen.frame(&[1, 2], 180, true, false, 2.1), [Some(true), Some(true)]);
        let quick =
            |seconds: &[(usize, f32)]| Tiles { seconds_each: seconds.iter().copied().collect(), ..Tiles::new(None) };
        assert_eq!(quick(&[(180, 0.08), (64, 0.06)]).live_side(180, 2), 32);
        assert_eq!(quick(&[(180, 0.08), (64, 0.06), (32, 0.06)]).live_side(180, 2), 32, "and no coarser");
        assert_eq!(quick(&[(180, 0.01)]).live_side(180, 2), 180);
        assert_eq!(quick(&[(40, 0.9)]).live_side(40, 2), 40, "what is small stays as it is");
    }

    #[test]
    fn what_cannot_be_made_is_not_tried_again() {
        let mut screen = Screen::new();
        screen.frame(&[1, 2], 64, false, false, 1.0);
        let (job, _, wanted) = screen.asked.rounds.borrow()[0].clone();
        let made = vec![(wanted[0].clone(), Err(Failure::new("no"))), (wanted[1].clone(), Ok(tile(1)))];
        screen.tiles.take(job, made, 0);
        assert_eq!(screen.frame(&[1, 2], 64, false, false, 2.0), [None, Some(true)]);
        assert_eq!(screen.rounds(), 1);
        screen.frame(&[5], 64, false, false, 3.0);
        let job = screen.asked.rounds.borrow()[1].0;
        assert!(screen.tiles.end(job, true) && !screen.tiles.end(job, true));
        screen.frame(&[5], 64, false, false, 4.0);
        assert_eq!(screen.rounds(), 2);
        screen.tiles.clear();
        screen.frame(&[5], 64, false, false, 5.0);
        assert_eq!(screen.rounds(), 3, "another model may be able to");
    }

    #[test]
    fn who_scrolls_away_forgets_and_sizes_take_turns() {
        let mut screen = Screen::new();
        screen.frame(&[1], 64, false, false, 1.0);
        screen.frame(&[], 64, false, false, 2.0);
        assert_eq!(*screen.asked.cancelled.borrow(), [screen.asked.rounds.borrow()[0].0]);
        for (place, side, urgency) in [("large", 200, 1.0), ("small", 50, 0.0)] {
            let want = Want { edit: of_seed(0), side, urgency, live: false };
            screen.tiles.show(Id::unique(place), want);
        }
        screen.tiles.send(&of_seed(0), false, 9.0, screen.model, &screen.asked);
        assert_eq!(screen.asked.rounds.borrow().last().unwrap().1, 50);
    }

    #[test]
    fn coarse_sides_are_powers_of_two() {
        assert_eq!([1, 2, 60, 128, 175, 350].map(coarse), [1, 1, 16, 64, 64, 128]);
    }
}
