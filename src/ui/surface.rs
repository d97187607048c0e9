//! A frame on the screen: pixels uploaded by the window, or a texture that the engine made on the shared device.

use std::sync::Arc;

use egui::{ColorImage, Context, TextureFilter, TextureHandle, TextureId, TextureOptions};
use egui_wgpu::RenderState;

use crate::edit::Edit;
use crate::render::{Frame, FrameImage, Pixels};

/// The newest frame of one purpose.
pub struct Surface {
    pub frame: Frame,
    sharp: bool,
    holder: Holder,
}

enum Holder {
    Uploaded(TextureHandle),
    Registered(Registration),
}

/// A name by which the window knows a texture of the shared device.
struct Registration {
    id: TextureId,
    gpu: RenderState,
}

impl Registration {
    fn new(gpu: RenderState, texture: &wgpu::Texture, sharp: bool) -> Self {
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        let id = gpu.renderer.write().register_native_texture(&gpu.device, &view, filter(sharp));
        Registration { id, gpu }
    }

    fn update(&self, texture: &wgpu::Texture, sharp: bool) {
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        let mut renderer = self.gpu.renderer.write();
        renderer.update_egui_texture_from_wgpu_texture(&self.gpu.device, &view, filter(sharp), self.id);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.gpu.renderer.write().free_texture(&self.id);
    }
}

impl Surface {
    /// Shows a frame in place of `old`. `None` if the frame is on a device that the window does not share.
    pub fn show(old: Option<Surface>, frame: Frame, ctx: &Context, gpu: Option<&RenderState>) -> Option<Surface> {
        let sharp = old.as_ref().is_some_and(|old| old.sharp);
        let holder = match (&frame.image, old.map(|old| old.holder)) {
            (FrameImage::Pixels(pixels), Some(Holder::Uploaded(mut handle))) => {
                handle.set(color_image(pixels), filters(sharp));
                Holder::Uploaded(handle)
            }
            (FrameImage::Pixels(pixels), _) => {
                Holder::Uploaded(ctx.load_texture("picture", color_image(pixels), filters(sharp)))
            }
            (FrameImage::Texture(texture), Some(Holder::Registered(registration))) => {
                registration.update(texture, sharp);
                Holder::Registered(registration)
            }
            (FrameImage::Texture(texture), _) => Holder::Registered(Registration::new(gpu?.clone(), texture, sharp)),
        };
        Some(Surface { frame, sharp, holder })
    }

    pub fn edit(&self) -> &Edit {
        &self.frame.edit
    }

    /// The texture to paint; `sharp` shows its pixels as squares.
    pub fn texture(&mut self, sharp: bool) -> TextureId {
        // A preview's squares would pass for the picture's own pixels.
        let sharp = sharp && self.frame.is_exact;
        if sharp != self.sharp {
            self.sharp = sharp;
            match (&mut self.holder, &self.frame.image) {
                (Holder::Uploaded(handle), FrameImage::Pixels(pixels)) => {
                    handle.set(color_image(pixels), filters(sharp))
                }
                (Holder::Registered(registration), FrameImage::Texture(texture)) => registration.update(texture, sharp),
                _ => {}
            }
        }
        match &self.holder {
            Holder::Uploaded(handle) => handle.id(),
            Holder::Registered(registration) => registration.id,
        }
    }

    /// Puts the picture on the clipboard; from the GPU this takes a moment and happens on a thread.
    pub fn copy(&self, ctx: &Context) {
        match (&self.frame.image, &self.holder) {
            (FrameImage::Pixels(pixels), _) => ctx.copy_image(color_image(pixels)),
            (FrameImage::Texture(texture), Holder::Registered(registration)) => {
                let (ctx, texture, gpu) = (ctx.clone(), texture.clone(), registration.gpu.clone());
                std::thread::spawn(move || {
                    if let Some(image) = read_back(&texture, &gpu) {
                        ctx.copy_image(image);
                        ctx.request_repaint();
                    }
                });
            }
            _ => {}
        }
    }
}

fn filter(sharp: bool) -> wgpu::FilterMode {
    if sharp { wgpu::FilterMode::Nearest } else { wgpu::FilterMode::Linear }
}

fn filters(sharp: bool) -> TextureOptions {
    let magnification = if sharp { TextureFilter::Nearest } else { TextureFilter::Linear };
    TextureOptions { magnification, minification: TextureFilter::Linear, ..TextureOptions::LINEAR }
}

fn color_image(pixels: &Arc<Pixels>) -> ColorImage {
    ColorImage::from_rgba_unmultiplied([pixels.width, pixels.height], &pixels.to_rgba())
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
