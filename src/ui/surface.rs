//! A frame on the screen: pixels uploaded by the window, or a texture that the engine made on the shared device.

use std::sync::Arc;

use egui::emath::GuiRounding;
use egui::{ColorImage, Context, Painter, Rect, Vec2, vec2};
use egui_wgpu::{CallbackTrait, RenderState};
use wgpu::util::DeviceExt;

use crate::edit::Edit;
use crate::render::{Frame, FrameImage, Pixels, picture_texture};

/// Paints pictures with `shaders/view.wgsl`.
#[derive(Clone)]
pub struct PicturePipeline {
    gpu: RenderState,
    /// Paints one picture.
    one: wgpu::RenderPipeline,
    /// Paints how much two differ.
    difference: wgpu::RenderPipeline,
    smooth: wgpu::Sampler,
    sharp: wgpu::Sampler,
}

impl PicturePipeline {
    pub fn new(gpu: RenderState) -> Self {
        let device = &gpu.device;
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("view"),
            source: wgpu::ShaderSource::Wgsl(include_str!("../../shaders/view.wgsl").into()),
        });
        let encodes = f64::from(u8::from(gpu.target_format.is_srgb()));
        let pipeline = |entry_point| {
            device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
                label: Some(entry_point),
                layout: None,
                vertex: wgpu::VertexState {
                    module: &module,
                    entry_point: Some("corner"),
                    compilation_options: wgpu::PipelineCompilationOptions::default(),
                    buffers: &[],
                },
                primitive: wgpu::PrimitiveState {
                    topology: wgpu::PrimitiveTopology::TriangleStrip,
                    ..wgpu::PrimitiveState::default()
                },
                depth_stencil: None,
                multisample: wgpu::MultisampleState::default(),
                fragment: Some(wgpu::FragmentState {
                    module: &module,
                    entry_point: Some(entry_point),
                    compilation_options: wgpu::PipelineCompilationOptions {
                        constants: &[("target_encodes", encodes)],
                        ..wgpu::PipelineCompilationOptions::default()
                    },
                    targets: &[Some(gpu.target_format.into())],
                }),
                multiview_mask: None,
                cache: None,
            })
        };
        let (one, difference) = (pipeline("paint"), pipeline("paint_difference"));
        let sampler = |mag_filter| {
            let min_filter = wgpu::FilterMode::Linear;
            device.create_sampler(&wgpu::SamplerDescriptor { mag_filter, min_filter, ..Default::default() })
        };
        let (smooth, sharp) = (sampler(wgpu::FilterMode::Linear), sampler(wgpu::FilterMode::Nearest));
        PicturePipeline { gpu, one, difference, smooth, sharp }
    }

    /// True if the window is painted by processors, without a GPU.
    pub fn is_software(&self) -> bool {
        self.gpu.adapter.get_info().device_type == wgpu::DeviceType::Cpu
    }

    /// A texture that holds `pixels`: `old`, if it is of that size.
    pub fn uploaded(&self, pixels: &Pixels, old: Option<Arc<wgpu::Texture>>) -> Arc<wgpu::Texture> {
        let [width, height] = [pixels.width as u32, pixels.height as u32];
        let size = wgpu::Extent3d { width, height, depth_or_array_layers: 1 };
        let texture = old
            .filter(|old| old.size() == size)
            .unwrap_or_else(|| Arc::new(picture_texture(&self.gpu.device, size, wgpu::TextureUsages::COPY_DST)));
        let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(4 * width), rows_per_image: None };
        self.gpu.queue.write_texture(texture.as_image_copy(), &pixels.to_rgba(), layout, size);
        texture
    }

    /// Paints a whole picture at `place`, in points.
    pub fn paint(&self, painter: &Painter, texture: &Arc<wgpu::Texture>, place: Rect) {
        paint_textures(painter, self, &self.one, &self.smooth, &[texture], 0.0, place, place);
    }
}

/// The newest frame of one purpose.
pub struct Surface {
    pub frame: Frame,
    /// `None` if the window paints nothing, as in tests of its logic.
    texture: Option<Arc<wgpu::Texture>>,
}

impl Surface {
    /// Shows a frame in place of `old`.
    pub fn show(old: Option<Surface>, frame: Frame, picture_pipeline: Option<&PicturePipeline>) -> Surface {
        let texture = match (&frame.image, picture_pipeline) {
            (FrameImage::Texture(texture), _) => Some(texture.clone()),
            (FrameImage::Pixels(pixels), Some(picture_pipeline)) => {
                // A texture of the engine is not ours to write to.
                let uploaded = old.filter(|old| matches!(old.frame.image, FrameImage::Pixels(_)));
                Some(picture_pipeline.uploaded(pixels, uploaded.and_then(|old| old.texture)))
            }
            (FrameImage::Pixels(_), None) => None,
        };
        Surface { frame, texture }
    }

    pub fn edit(&self) -> &Edit {
        &self.frame.edit
    }

    /// Width and height in pixels.
    pub fn size(&self) -> Vec2 {
        vec2(self.frame.size[0] as f32, self.frame.size[1] as f32)
    }

    /// Paints the part of the picture at `place` that lies in `area`, both in points; `sharp` shows its pixels as squares.
    pub fn paint(&self, painter: &Painter, picture_pipeline: &PicturePipeline, place: Rect, area: Rect, sharp: bool) {
        let PicturePipeline { one, smooth, sharp: squares, .. } = picture_pipeline;
        // A preview's squares would pass for the picture's own pixels.
        let sampler = if sharp && self.frame.is_exact { squares } else { smooth };
        let Some(texture) = &self.texture else { return };
        paint_textures(painter, picture_pipeline, one, sampler, &[texture], 0.0, place, area);
    }

    /// In the place of the picture: how much it differs from another one, the mean over its channels. Brightest from a
    /// difference of `1 / gain` of the values' range on.
    pub fn paint_difference(
        &self,
        other: &Surface,
        gain: f32,
        painter: &Painter,
        picture_pipeline: &PicturePipeline,
        place: Rect,
        area: Rect,
    ) {
        let PicturePipeline { difference, smooth, .. } = picture_pipeline;
        let (Some(a), Some(b)) = (&self.texture, &other.texture) else { return };
        paint_textures(painter, picture_pipeline, difference, smooth, &[a, b], gain, place, area);
    }

    /// What reads the picture.
    pub fn reader(&self, picture_pipeline: Option<&PicturePipeline>) -> Option<ReadPicture> {
        match (&self.frame.image, picture_pipeline) {
            (FrameImage::Pixels(pixels), _) => {
                let pixels = pixels.clone();
                Some(Box::new(move || {
                    let size = [pixels.width, pixels.height];
                    Some(ColorImage::from_rgba_unmultiplied(size, &pixels.to_rgba()))
                }))
            }
            (FrameImage::Texture(texture), Some(picture_pipeline)) => {
                let (texture, gpu) = (texture.clone(), picture_pipeline.gpu.clone());
                Some(Box::new(move || read_back(&texture, &gpu)))
            }
            (FrameImage::Texture(_), None) => None,
        }
    }

    /// Puts the picture on the clipboard; from the GPU this takes a moment and happens on a thread.
    pub fn copy(&self, ctx: &Context, picture_pipeline: Option<&PicturePipeline>) {
        let Some(read) = self.reader(picture_pipeline) else { return };
        if matches!(self.frame.image, FrameImage::Pixels(_)) {
            read().into_iter().for_each(|image| ctx.copy_image(image));
            return;
        }
        let ctx = ctx.clone();
        std::thread::spawn(move || {
            if let Some(image) = read() {
                ctx.copy_image(image);
                ctx.request_repaint();
            }
        });
    }
}

/// Paints the part of `place` that lies in `area` by a pipeline of `shaders/view.wgsl`.
#[expect(clippy::too_many_arguments, reason = "everything that the shader reads, and where")]
fn paint_textures(
    painter: &Painter,
    PicturePipeline { gpu, .. }: &PicturePipeline,
    pipeline: &wgpu::RenderPipeline,
    sampler: &wgpu::Sampler,
    textures: &[&Arc<wgpu::Texture>],
    gain: f32,
    place: Rect,
    area: Rect,
) {
    // What is painted begins and ends at whole pixels of the screen.
    let target = place.intersect(area).round_to_pixels(painter.pixels_per_point());
    if !target.is_positive() {
        return;
    }
    let [min, max] = [target.min, target.max].map(|corner| (corner - place.min) / place.size());
    let uniform = [min.x, min.y, max.x, max.y, gain, 0.0, 0.0, 0.0];
    let seen = gpu.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
        label: Some("view"),
        contents: &uniform.iter().flat_map(|x| x.to_ne_bytes()).collect::<Vec<u8>>(),
        usage: wgpu::BufferUsages::UNIFORM,
    });
    let views: Vec<wgpu::TextureView> =
        textures.iter().map(|texture| texture.create_view(&wgpu::TextureViewDescriptor::default())).collect();
    let mut entries = vec![
        wgpu::BindGroupEntry { binding: 0, resource: seen.as_entire_binding() },
        wgpu::BindGroupEntry { binding: 1, resource: wgpu::BindingResource::Sampler(sampler) },
    ];
    entries.extend(
        views.iter().zip(2..).map(|(view, binding)| wgpu::BindGroupEntry {
            binding,
            resource: wgpu::BindingResource::TextureView(view),
        }),
    );
    let bindings = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("view"),
        layout: &pipeline.get_bind_group_layout(0),
        entries: &entries,
    });
    let stroke = PaintPicture { pipeline: pipeline.clone(), bindings };
    painter.add(egui_wgpu::Callback::new_paint_callback(target, stroke));
}

/// Reads a picture that is shown; on any thread, because a GPU is waited for.
pub type ReadPicture = Box<dyn FnOnce() -> Option<ColorImage> + Send>;

/// One picture in one frame of the window.
struct PaintPicture {
    pipeline: wgpu::RenderPipeline,
    bindings: wgpu::BindGroup,
}

impl CallbackTrait for PaintPicture {
    fn paint(
        &self,
        _: egui::PaintCallbackInfo,
        pass: &mut wgpu::RenderPass<'static>,
        _: &egui_wgpu::CallbackResources,
    ) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bindings, &[]);
        pass.draw(0..4, 0..1);
    }
}

/// Copies a texture to the host; waits for the device.
fn read_back(texture: &wgpu::Texture, gpu: &RenderState) -> Option<ColorImage> {
    let (width, height) = (texture.width(), texture.height());
    let stride = (width * 4).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
    let buffer = gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("clipboard"),
        size: u64::from(stride) * u64::from(height),
        usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
        mapped_at_creation: false,
    });
    let mut commands = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(stride), rows_per_image: None };
    commands.copy_texture_to_buffer(
        texture.as_image_copy(),
        wgpu::TexelCopyBufferInfo { buffer: &buffer, layout },
        texture.size(),
    );
    gpu.queue.submit([commands.finish()]);
    buffer.slice(..).map_async(wgpu::MapMode::Read, |_| {});
    gpu.device.poll(wgpu::PollType::wait_indefinitely()).ok()?;
    let mapped = buffer.slice(..).get_mapped_range().ok()?;
    let rows = mapped.chunks(stride as usize).flat_map(|row| row.iter().take(width as usize * 4).copied());
    let rgba: Vec<u8> = rows.collect();
    Some(ColorImage::from_rgba_unmultiplied([width as usize, height as usize], &rgba))
}
