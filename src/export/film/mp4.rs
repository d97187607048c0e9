//! MP4 with H.264, as browsers and phones play it. OpenH264 encodes and is compiled in; the boxes around it come first in the file, so
//! that it plays while it loads.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::num::NonZeroU32;

use openh264::OpenH264API;
use openh264::encoder::{
    BitRate, Complexity, EncodedBitStream, Encoder, EncoderConfig, FrameRate, FrameType, IntraFramePeriod, QpRange,
    RateControlMode, VuiConfig,
};
use openh264::formats::{RgbSliceU8, YUVBuffer};
use shiguredo_mp4::boxes::{Avc1Box, AvccBox, SampleEntry, VisualSampleEntryFields};
use shiguredo_mp4::mux::{Mp4FileMuxer, Mp4FileMuxerOptions, MuxError, Sample, estimate_maximum_moov_box_size};
use shiguredo_mp4::{TrackKind, Uint};

use super::{FilmError, FilmPlan, FilmWriter};
use crate::export::ExportError;
use crate::files::Draft;
use crate::render::Pixels;

/// Of the encoder, width and height in any order.
const LARGEST: [usize; 2] = [3840, 2160];
const SMALLEST: usize = 16;
/// Quantisation: hardly to be told from the pictures, and a tenth of their size.
const QUALITY: QpRange = QpRange::new(16, 20);
/// Seconds from one frame that needs no other to the next: players jump to these.
const SECONDS_BETWEEN_KEYS: u32 = 2;
/// Kinds of units of H.264 (ITU-T H.264, table 7-1).
const SEQUENCE_PARAMETERS: u8 = 7;
const PICTURE_PARAMETERS: u8 = 8;

pub(super) struct Mp4Writer {
    draft: Draft,
    file: File,
    encoder: Encoder,
    muxer: Mp4FileMuxer,
    fps: NonZeroU32,
    /// Both even: a picture with an odd side has its last row or column twice.
    size: [usize; 2],
    /// Bytes in the file.
    written: u64,
    has_begun: bool,
}

impl Mp4Writer {
    pub(super) fn new(plan: &FilmPlan, size: [usize; 2], draft: Draft) -> Result<Self, ExportError> {
        let found = format!("{} x {}", size[0], size[1]);
        let size = size.map(|side| side.next_multiple_of(2));
        let (larger, smaller) = (size[0].max(size[1]), size[0].min(size[1]));
        if larger > LARGEST[0] || smaller > LARGEST[1] || smaller < SMALLEST {
            return Err(plan.limit("MP4", "16 x 16 to 3840 x 2160 pixels", found).into());
        }
        let fps = NonZeroU32::new(plan.playback.fps).unwrap_or(NonZeroU32::MIN);
        let config = EncoderConfig::new()
            // Of the modes the one that takes the best quality of the range as long as nobody complains of late frames.
            .rate_control_mode(RateControlMode::Bufferbased)
            .qp(QUALITY)
            .bitrate(BitRate::from_bps(8_000_000))
            .max_frame_rate(FrameRate::from_hz(fps.get() as f32))
            .intra_frame_period(IntraFramePeriod::from_num_frames(fps.get() * SECONDS_BETWEEN_KEYS))
            .complexity(Complexity::High)
            .skip_frames(false)
            .adaptive_quantization(false)
            .background_detection(false)
            .scene_change_detect(false)
            // As the crate makes luma and chroma of RGB.
            .vui(VuiConfig::bt601());
        let h264 = |source| FilmError::H264 { path: plan.path.clone(), source };
        let encoder = Encoder::with_api_config(OpenH264API::from_source(), config).map_err(h264)?;
        let reserved_moov_box_size = estimate_maximum_moov_box_size(&[plan.frames]);
        let options = Mp4FileMuxerOptions { reserved_moov_box_size, ..Mp4FileMuxerOptions::default() };
        let muxer = Mp4FileMuxer::with_options(options).map_err(|error| muxing(&draft, &error))?;
        let mut file = draft.handle()?;
        file.write_all(muxer.initial_boxes_bytes()).map_err(|source| draft.failed(source))?;
        let written = muxer.initial_boxes_bytes().len() as u64;
        Ok(Mp4Writer { draft, file, encoder, muxer, fps, size, written, has_begun: false })
    }
}

fn muxing(draft: &Draft, error: &MuxError) -> FilmError {
    FilmError::Encode { path: draft.path().into(), problem: error.to_string() }
}

/// What an encoded frame holds.
#[derive(Default)]
struct Units {
    sequence: Option<Vec<u8>>,
    picture: Option<Vec<u8>>,
    /// All others, each after its length in four bytes.
    data: Vec<u8>,
}

impl Units {
    fn of(stream: &EncodedBitStream<'_>) -> Self {
        let mut units = Units::default();
        let layers = (0..stream.num_layers()).filter_map(|layer| stream.layer(layer));
        for layer in layers {
            for unit in (0..layer.nal_count()).filter_map(|unit| layer.nal_unit(unit)) {
                let unit = without_start_code(unit);
                match unit.first().map(|first| first & 0x1f) {
                    None => {}
                    Some(SEQUENCE_PARAMETERS) => units.sequence = Some(unit.to_vec()),
                    Some(PICTURE_PARAMETERS) => units.picture = Some(unit.to_vec()),
                    Some(_) => {
                        units.data.extend_from_slice(&(unit.len() as u32).to_be_bytes());
                        units.data.extend_from_slice(unit);
                    }
                }
            }
        }
        units
    }

    /// What players are told before the first frame.
    fn entry(&self, size: [usize; 2]) -> Option<SampleEntry> {
        let (sequence, picture) = (self.sequence.clone()?, self.picture.clone()?);
        let &[_, profile, compatibility, level, ..] = &sequence[..] else { return None };
        let visual = VisualSampleEntryFields {
            data_reference_index: VisualSampleEntryFields::DEFAULT_DATA_REFERENCE_INDEX,
            width: size[0] as u16,
            height: size[1] as u16,
            horizresolution: VisualSampleEntryFields::DEFAULT_HORIZRESOLUTION,
            vertresolution: VisualSampleEntryFields::DEFAULT_VERTRESOLUTION,
            frame_count: VisualSampleEntryFields::DEFAULT_FRAME_COUNT,
            compressorname: VisualSampleEntryFields::NULL_COMPRESSORNAME,
            depth: VisualSampleEntryFields::DEFAULT_DEPTH,
        };
        // Profiles above these say more of their chroma; the encoder has 4:2:0 of eight bits alone.
        let says_chroma = ![66, 77, 88].contains(&profile);
        let avcc_box = AvccBox {
            avc_profile_indication: profile,
            profile_compatibility: compatibility,
            avc_level_indication: level,
            length_size_minus_one: Uint::new(3),
            sps_list: vec![sequence],
            pps_list: vec![picture],
            chroma_format: says_chroma.then(|| Uint::new(1)),
            bit_depth_luma_minus8: says_chroma.then(|| Uint::new(0)),
            bit_depth_chroma_minus8: says_chroma.then(|| Uint::new(0)),
            sps_ext_list: Vec::new(),
        };
        Some(SampleEntry::Avc1(Avc1Box { visual, avcc_box, unknown_boxes: Vec::new() }))
    }
}

fn without_start_code(unit: &[u8]) -> &[u8] {
    unit.strip_prefix(&[0, 0, 0, 1]).or_else(|| unit.strip_prefix(&[0, 0, 1])).unwrap_or(unit)
}

/// The same RGB picture with its last column and row once more, as far as `size` asks for that.
fn padded(frame: &Pixels, [width, height]: [usize; 2]) -> Vec<u8> {
    let row_of = |y: usize| &frame.data[y.min(frame.height - 1) * frame.width * 3..][..frame.width * 3];
    let mut data = Vec::with_capacity(width * height * 3);
    for row in (0..height).map(row_of) {
        data.extend_from_slice(row);
        for _ in frame.width..width {
            data.extend_from_slice(&row[row.len() - 3..]);
        }
    }
    data
}

impl FilmWriter for Mp4Writer {
    fn add(&mut self, frame: &Pixels) -> Result<(), ExportError> {
        let data = padded(frame, self.size);
        let yuv = YUVBuffer::from_rgb8_source(RgbSliceU8::new(&data, (self.size[0], self.size[1])));
        let stream = self.encoder.encode(&yuv);
        let stream = stream.map_err(|source| FilmError::H264 { path: self.draft.path().into(), source })?;
        let keyframe = matches!(stream.frame_type(), FrameType::IDR);
        let units = Units::of(&stream);
        let sample_entry = if self.has_begun { None } else { units.entry(self.size) };
        self.file.write_all(&units.data).map_err(|source| self.draft.failed(source))?;
        let sample = Sample {
            track_kind: TrackKind::Video,
            sample_entry,
            keyframe,
            timescale: self.fps,
            duration: 1,
            composition_time_offset: None,
            data_offset: self.written,
            data_size: units.data.len(),
        };
        self.muxer.append_sample(&sample).map_err(|error| muxing(&self.draft, &error))?;
        self.written += units.data.len() as u64;
        self.has_begun = true;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), ExportError> {
        let Mp4Writer { draft, mut file, mut muxer, .. } = *self;
        let boxes = muxer.finalize().map_err(|error| muxing(&draft, &error))?;
        for (offset, bytes) in boxes.offset_and_bytes_pairs() {
            let write = file.seek(SeekFrom::Start(offset)).and_then(|_| file.write_all(bytes));
            write.map_err(|source| draft.failed(source))?;
        }
        Ok(draft.keep()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_pictures_have_their_last_row_and_column_twice() {
        let frame = Pixels { width: 3, height: 1, channels: 3, data: vec![1, 2, 3, 4, 5, 6, 7, 8, 9] };
        let row = [1, 2, 3, 4, 5, 6, 7, 8, 9, 7, 8, 9];
        assert_eq!(padded(&frame, [4, 2]), [row, row].concat());
        assert_eq!(padded(&frame, [3, 1]), frame.data);
    }

    #[test]
    fn start_codes_of_both_lengths_go() {
        assert_eq!(without_start_code(&[0, 0, 0, 1, 0x67]), [0x67]);
        assert_eq!(without_start_code(&[0, 0, 1, 0x68]), [0x68]);
        assert_eq!(without_start_code(&[0x68, 0, 0, 1]), [0x68, 0, 0, 1]);
    }
}
