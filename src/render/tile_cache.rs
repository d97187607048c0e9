//! Tiles that were made, for whoever shows them. Plain data: no tensor and no device.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;

use super::Tile;
use super::recent::Recent;
use crate::edit::{
    Between, ClassMix, Code, Direction, Edit, Move, Noise, NoiseMode, Sample, Seed, Style, Truncation, Vectors,
    Waypoint,
};

/// Tiles of one model, by edit and side; the least recently used ones go when all together have more than so many bytes.
pub struct TileCache {
    tiles: Recent<TileKey, Arc<Tile>>,
    /// Of the two halves of keys, drawn anew for every cache.
    hashers: [RandomState; 2],
}

/// Hashes of everything that a tile depends on, 128 bits in all: two edits do not share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TileKey([u64; 2]);

/// Bytes of a tile's entry beside its pixels.
const ENTRY: u64 = 128;

impl TileCache {
    /// For so many bytes of pixels.
    pub fn new(limit: u64) -> Self {
        let bytes_of = |tile: &Arc<Tile>| tile.pixels.data.len() as u64 + ENTRY;
        TileCache { tiles: Recent::new(limit, bytes_of), hashers: [RandomState::new(), RandomState::new()] }
    }

    /// The key of an edit's tile, in this cache.
    pub fn key(&self, edit: &Edit, side: usize) -> TileKey {
        TileKey(self.hashers.each_ref().map(|hashers| {
            let mut state = hashers.build_hasher();
            side.hash(&mut state);
            hash_edit(edit, &mut state);
            state.finish()
        }))
    }

    /// A tile, exact or not.
    pub fn get(&mut self, key: &TileKey) -> Option<Arc<Tile>> {
        self.tiles.get(key).cloned()
    }

    /// Keeps a tile. One that is not exact does not replace one that is.
    pub fn insert(&mut self, key: TileKey, tile: Arc<Tile>) {
        if tile.is_exact || !self.tiles.peek(&key).is_some_and(|there| there.is_exact) {
            self.tiles.insert(key, tile);
        }
    }
}

/// What the picture of an edit depends on: neither names nor moves and styles that do nothing.
fn hash_edit(edit: &Edit, state: &mut impl Hasher) {
    let Edit { sample, truncation, noise, moves } = edit;
    hash_sample(sample, state);
    hash_truncation(*truncation, state);
    let Noise { mode, seed } = noise;
    std::mem::discriminant(mode).hash(state);
    (*mode == NoiseMode::Random).then_some(seed).hash(state);
    for step in moves.iter().filter(|step| step.is_active()) {
        let Move { direction, value, enabled: _, name: _ } = step;
        let Direction { layers, vectors, origin: _ } = &**direction;
        (value.to_bits(), layers).hash(state);
        match vectors {
            Vectors::One(vector) => hash_each(std::slice::from_ref(vector), state),
            Vectors::PerLayer(vectors) => hash_each(vectors, state),
        }
    }
}

fn hash_sample(sample: &Sample, state: &mut impl Hasher) {
    let Sample { code, class, mix, styles: _, photo: _ } = sample;
    hash_code(code, state);
    hash_classes(*class, *mix, state);
    state.write_usize(sample.active_styles().count());
    for style in sample.active_styles() {
        let Style { layers, code, class, mix, enabled: _ } = style;
        layers.hash(state);
        hash_code(code, state);
        hash_classes(*class, *mix, state);
    }
}

fn hash_truncation(truncation: Truncation, state: &mut impl Hasher) {
    let Truncation { psi, cutoff } = truncation;
    (psi.to_bits(), cutoff).hash(state);
}

fn hash_code(code: &Code, state: &mut impl Hasher) {
    std::mem::discriminant(code).hash(state);
    match code {
        Code::Seed(Seed { number, kind }) => (number, kind).hash(state),
        Code::Z(code) | Code::W(code) => hash_numbers(code, state),
        Code::WPlus(codes) => hash_each(codes, state),
        Code::Between(between) => {
            let Between { through, times, at } = &**between;
            for Waypoint { sample, truncation } in through {
                hash_sample(sample, state);
                hash_truncation(*truncation, state);
            }
            times.iter().chain([at]).for_each(|time| state.write_u64(time.to_bits()));
        }
    }
}

fn hash_classes(class: Option<usize>, mix: Option<ClassMix>, state: &mut impl Hasher) {
    (class, mix.map(|ClassMix { class, amount }| (class, amount.to_bits()))).hash(state);
}

fn hash_each(lists: &[Vec<f32>], state: &mut impl Hasher) {
    state.write_usize(lists.len());
    lists.iter().for_each(|numbers| hash_numbers(numbers, state));
}

fn hash_numbers(numbers: &[f32], state: &mut impl Hasher) {
    state.write_usize(numbers.len());
    numbers.iter().for_each(|x| state.write_u32(x.to_bits()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::{LayerSet, Weighting};
    use crate::render::Pixels;

    fn tile(bytes: usize, is_exact: bool) -> Arc<Tile> {
        let pixels = Pixels { width: bytes, height: 1, channels: 1, data: vec![0; bytes] };
        Arc::new(Tile { pixels, is_exact })
    }

    fn get(cache: &mut TileCache, edit: &Edit, side: usize) -> Option<Arc<Tile>> {
        cache.get(&cache.key(edit, side))
    }

    fn insert(cache: &mut TileCache, edit: &Edit, side: usize, tile: Arc<Tile>) {
        cache.insert(cache.key(edit, side), tile);
    }

    fn of_seed(number: u64) -> Edit {
        let code = Code::Seed(Seed { number, ..Seed::default() });
        Edit { sample: Sample { code, ..Sample::default() }, ..Edit::default() }
    }

    fn step(index: usize, vector: Vec<f32>, value: f32) -> Move {
        let direction = Direction::sefa(LayerSet::range(0, 1), Weighting::RowNormalised, index, vector);
        Move::new(Arc::new(direction), value)
    }

    fn style(layers: &str, seed: u64) -> Style {
        Style::new(layers.parse().unwrap(), Code::Seed(Seed::studio(seed)))
    }

    #[test]
    fn a_tile_is_found_by_all_that_its_picture_depends_on_and_nothing_else() {
        let mut cache = TileCache::new(1 << 20);
        let edit = Edit { moves: vec![step(0, vec![0.6, 0.8], 1.5)], ..of_seed(3) };
        let kept = tile(10, true);
        insert(&mut cache, &edit, 96, kept.clone());
        let mut same = edit.clone();
        same.moves[0].name = "smile".into();
        same.noise.seed = 9;
        same.moves.push(Move { enabled: false, ..step(1, vec![1.0, 0.0], 2.0) });
        same.moves.push(step(1, vec![1.0, 0.0], 0.0));
        same.sample.styles.push(Style { enabled: false, ..style("0-1", 1) });
        assert_eq!(get(&mut cache, &same, 96), Some(kept), "no seed of noise counts where noise is not random");
        let change = |change: &dyn Fn(&mut Edit)| {
            let mut other = edit.clone();
            change(&mut other);
            other
        };
        let others = [
            of_seed(3),
            Edit { moves: edit.moves.clone(), ..of_seed(4) },
            change(&|edit| edit.moves[0].value = 1.25),
            change(&|edit| edit.moves = vec![step(0, vec![0.8, 0.6], 1.5)]),
            change(&|edit| edit.moves.push(step(0, vec![0.6, 0.8], 1.5))),
            change(&|edit| edit.truncation.psi = 0.5),
            change(&|edit| edit.truncation.cutoff = Some(1)),
            change(&|edit| edit.sample.class = Some(0)),
            change(&|edit| edit.sample.mix = Some(ClassMix { class: 0, amount: 0.5 })),
            change(&|edit| edit.sample.code = Code::W(vec![1.0, 2.0])),
            change(&|edit| edit.sample.code = Code::Z(vec![1.0, 2.0])),
            change(&|edit| edit.sample.code = Code::WPlus(vec![vec![1.0, 2.0]])),
            change(&|edit| edit.sample.code = Code::WPlus(vec![vec![1.0], vec![2.0]])),
            change(&|edit| edit.sample.styles = vec![style("0-1", 1)]),
            change(&|edit| edit.sample.styles = vec![style("0-1", 2)]),
            change(&|edit| edit.sample.styles = vec![style("0-2", 1)]),
            change(&|edit| edit.sample.styles = vec![style("0-1", 1), style("1", 2)]),
            change(&|edit| edit.sample.styles = vec![style("1", 2), style("0-1", 1)]),
            change(&|edit| edit.sample.styles = vec![Style { class: Some(0), ..style("0-1", 1) }]),
            change(&|edit| edit.noise.mode = NoiseMode::None),
            change(&|edit| edit.noise.mode = NoiseMode::Random),
            change(&|edit| edit.noise = Noise { mode: NoiseMode::Random, seed: 1 }),
        ];
        for (n, other) in others.iter().enumerate() {
            assert_eq!(get(&mut cache, other, 96), None, "{other:?}");
            insert(&mut cache, other, 96, tile(20 + n, true));
        }
        for (n, other) in others.iter().enumerate() {
            assert_eq!(get(&mut cache, other, 96), Some(tile(20 + n, true)), "{other:?} is taken for another edit");
        }
        assert_eq!(get(&mut cache, &edit, 95), None);
    }

    #[test]
    fn old_tiles_make_room_and_previews_replace_nothing_better() {
        let mut cache = TileCache::new(3 * (100 + ENTRY));
        (0..3).for_each(|seed| insert(&mut cache, &of_seed(seed), 10, tile(100, true)));
        assert!(get(&mut cache, &of_seed(0), 10).is_some());
        insert(&mut cache, &of_seed(3), 10, tile(100, false));
        let there: Vec<bool> = (0..4).map(|seed| get(&mut cache, &of_seed(seed), 10).is_some()).collect();
        assert_eq!(there, [true, false, true, true]);
        insert(&mut cache, &of_seed(3), 10, tile(90, true));
        insert(&mut cache, &of_seed(3), 10, tile(80, false));
        assert_eq!(get(&mut cache, &of_seed(3), 10), Some(tile(90, true)));
    }
}
