//! GIF: 256 colours a frame, chosen for it, with dithering.

use std::fs::File;
use std::io::BufWriter;

use gif::{DisposalMethod, Encoder, Frame, Repeat};
use quantette::deps::palette::{Srgb, cast};
use quantette::dither::FloydSteinberg;
use quantette::{ImageRef, Pipeline};

use super::{FilmError, FilmPlan, FilmWriter};
use crate::export::ExportError;
use crate::files::Draft;
use crate::render::Pixels;

/// Browsers take a shorter delay for a mistake and play it five times as slowly.
const MAX_FPS: u32 = 50;
/// Delays are counted in these.
const TICKS: u64 = 100;

pub(super) struct GifWriter {
    draft: Draft,
    encoder: Encoder<BufWriter<File>>,
    fps: u64,
    written: u64,
    /// The frame before.
    before: Vec<u8>,
}

impl GifWriter {
    pub(super) fn new(plan: &FilmPlan, [width, height]: [usize; 2], draft: Draft) -> Result<Self, ExportError> {
        let fps = plan.playback.fps;
        if fps > MAX_FPS {
            return Err(plan.limit("GIF", "at most 50 frames a second", fps.to_string()).into());
        }
        let failed = |source| FilmError::Gif { path: draft.path().into(), source };
        let file = BufWriter::with_capacity(1 << 20, draft.handle()?);
        let mut encoder = Encoder::new(file, width as u16, height as u16, &[]).map_err(failed)?;
        let repeat = if plan.playback.loops { Repeat::Infinite } else { Repeat::Finite(0) };
        encoder.set_repeat(repeat).map_err(failed)?;
        Ok(GifWriter { draft, encoder, fps: fps.into(), written: 0, before: Vec::new() })
    }
}

/// What stays as it was: its colour is none.
const UNCHANGED: u8 = 255;

impl FilmWriter for GifWriter {
    fn add(&mut self, frame: &Pixels) -> Result<(), ExportError> {
        let failed = |problem: String| FilmError::Encode { path: self.draft.path().into(), problem };
        let colours: &[Srgb<u8>] = cast::from_component_slice(&frame.data);
        let (width, height) = (frame.width as u32, frame.height as u32);
        let image = ImageRef::new(width, height, colours).map_err(|error| failed(error.to_string()))?;
        // One of 256 is for what does not change.
        let most = 255u16.try_into().map_err(|_| failed("255 colours".into()))?;
        let pipeline = Pipeline::new().palette_size(most).ditherer(FloydSteinberg::new());
        let (palette, mut indices) = pipeline.input_image(image).output_srgb8_indexed_image().into_parts();
        let same = frame.data.chunks_exact(3).zip(self.before.chunks_exact(3)).map(|(now, before)| now == before);
        for (index, is_same) in indices.iter_mut().zip(same) {
            if is_same {
                *index = UNCHANGED;
            }
        }
        let mut palette = cast::into_component_vec(palette);
        palette.resize(3 * 256, 0);
        self.before.clone_from(&frame.data);
        // Each begins at the tick nearest to its time, so that rounding never adds up.
        let tick = |frames: u64| (frames * TICKS + self.fps / 2) / self.fps;
        let delay = tick(self.written + 1) - tick(self.written);
        self.written += 1;
        let frame = Frame {
            delay: delay as u16,
            dispose: DisposalMethod::Keep,
            transparent: Some(UNCHANGED),
            width: frame.width as u16,
            height: frame.height as u16,
            palette: Some(palette),
            buffer: indices.into(),
            ..Frame::default()
        };
        let failed = |source| FilmError::Gif { path: self.draft.path().into(), source };
        Ok(self.encoder.write_frame(&frame).map_err(failed)?)
    }

    fn finish(self: Box<Self>) -> Result<(), ExportError> {
        let GifWriter { draft, encoder, .. } = *self;
        let failed = |source| FilmError::Gif { path: draft.path().into(), source };
        let file = encoder.into_inner().map_err(failed)?;
        file.into_inner().map_err(|error| draft.failed(error.into_error()))?;
        Ok(draft.keep()?)
    }
}
