//! APNG: every pixel as it is.

use std::fs::File;
use std::io::BufWriter;

use png::{BitDepth, ColorType, Encoder, EncodingError, Writer};

use super::{FilmPlan, FilmWriter};
use crate::export::ExportError;
use crate::files::Draft;
use crate::render::Pixels;

pub(super) struct ApngWriter {
    draft: Draft,
    writer: Writer<BufWriter<File>>,
}

impl ApngWriter {
    pub(super) fn new(plan: &FilmPlan, size: [usize; 2], draft: Draft) -> Result<Self, ExportError> {
        let failed = |source| ExportError::Encode { path: plan.path.clone(), source };
        let file = BufWriter::with_capacity(1 << 20, draft.handle()?);
        let [width, height] = size.map(|side| side as u32);
        let begin = || -> Result<Writer<BufWriter<File>>, EncodingError> {
            let mut encoder = Encoder::new(file, width, height);
            encoder.set_depth(BitDepth::Eight);
            encoder.set_color(ColorType::Rgb);
            encoder.set_animated(plan.frames as u32, if plan.playback.loops { 0 } else { 1 })?;
            encoder.set_frame_delay(1, plan.playback.fps as u16)?;
            encoder.write_header()
        };
        let writer = begin().map_err(failed)?;
        Ok(ApngWriter { draft, writer })
    }
}

impl FilmWriter for ApngWriter {
    fn add(&mut self, frame: &Pixels) -> Result<(), ExportError> {
        let failed = |source| ExportError::Encode { path: self.draft.path().into(), source };
        self.writer.write_image_data(&frame.data).map_err(failed)
    }

    fn finish(self: Box<Self>) -> Result<(), ExportError> {
        let ApngWriter { draft, writer } = *self;
        // It also flushes, and says what went wrong with that.
        writer.finish().map_err(|source| ExportError::Encode { path: draft.path().into(), source })?;
        Ok(draft.keep()?)
    }
}
