//! Tensor -> texture without leaving the GPU: the compute pass of `shaders/picture.wgsl`.

use std::sync::Arc;

use burn_wgpu::{AutoCompiler, CubeBackend};
use cubecl::wgpu::WgpuServer;
use wgpu::util::DeviceExt;

use super::{Picture, RenderError};
use crate::generator::ReadBackError;
use crate::gpu::WgpuSetup;

/// Turns picture tensors into textures that the window shows. Textures that nobody holds any more are used again.
pub struct Screen {
    device: wgpu::Device,
    queue: wgpu::Queue,
    pipeline: wgpu::ComputePipeline,
    textures: Vec<Arc<wgpu::Texture>>,
    /// Not 0 if the picture has a value that is not finite; on the device, and where the host reads it.
    broken: [wgpu::Buffer; 2],
}

impl Screen {
    /// `setup` must be that of the device on which the pictures are made.
    pub fn new(setup: &WgpuSetup) -> Self {
        let device = setup.device.clone();
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("picture"),
            source: wgpu::ShaderSource::Wgsl(include_str!("../../shaders/picture.wgsl").into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("picture"),
            layout: None,
            module: &module,
            entry_point: Some("show"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("picture is not finite"),
                size: 4,
                usage: usage | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        let broken =
            [buffer(wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC), buffer(wgpu::BufferUsages::MAP_READ)];
        Screen { queue: setup.queue.clone(), pipeline, textures: Vec::new(), broken, device }
    }

    /// Converts `picture` and waits until the texture is complete.
    ///
    /// # Errors
    /// The picture is not finite, or the device failed.
    pub fn show(&mut self, picture: &Picture) -> Result<Arc<wgpu::Texture>, RenderError> {
        let failed = |cause: &dyn std::fmt::Debug| ReadBackError::new(cause);
        let tensor = picture.in_rgb().try_into_primitive::<CubeBackend>().map_err(|error| failed(&error))?;
        let strides = tensor.meta.strides().to_vec();
        // Submits the pending work of the tensor first, so that ours comes after it.
        let managed = (tensor.client)
            .get_resource::<WgpuServer<AutoCompiler>>(tensor.handle.clone())
            .map_err(|error| failed(&error))?;
        let resource = managed.resource();
        // A binding has to start at a multiple of the alignment; the shader skips the elements before the tensor.
        let alignment = u64::from(self.device.limits().min_storage_buffer_offset_alignment);
        let start = resource.offset / alignment * alignment;
        let size = (resource.offset - start + resource.size).next_multiple_of(4);
        let [width, height] = [picture.width() as u32, picture.height() as u32];
        let layout: [u32; 8] = [
            width,
            height,
            picture.channels() as u32,
            strides[1] as u32,
            strides[2] as u32,
            strides[3] as u32,
            ((resource.offset - start) / 4) as u32,
            0,
        ];
        let layout: Vec<u8> = layout.iter().flat_map(|x| x.to_ne_bytes()).collect();
        let uniform = self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("picture layout"),
            contents: &layout,
            usage: wgpu::BufferUsages::UNIFORM,
        });
        let texture = self.texture(width, height);
        let [on_device, on_host] = &self.broken;
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        let values =
            wgpu::BufferBinding { buffer: &resource.buffer, offset: start, size: std::num::NonZeroU64::new(size) };
        let bindings = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("picture"),
            layout: &self.pipeline.get_bind_group_layout(0),
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: uniform.as_entire_binding() },
                wgpu::BindGroupEntry { binding: 1, resource: wgpu::BindingResource::Buffer(values) },
                wgpu::BindGroupEntry { binding: 2, resource: wgpu::BindingResource::TextureView(&view) },
                wgpu::BindGroupEntry { binding: 3, resource: on_device.as_entire_binding() },
            ],
        });
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.clear_buffer(on_device, 0, None);
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&self.pipeline);
            pass.set_bind_group(0, &bindings, &[]);
            pass.dispatch_workgroups(width.div_ceil(8), height.div_ceil(8), 1);
        }
        encoder.copy_buffer_to_buffer(on_device, 0, on_host, 0, 4);
        let submission = self.queue.submit([encoder.finish()]);
        on_host.map_async(wgpu::MapMode::Read, .., |_| {});
        // Waiting here keeps one frame in flight and makes its time honest; the window's thread is another one.
        let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
        self.device.poll(wait).map_err(|error| failed(&error))?;
        // Until here the tensor's memory had to stay its own.
        drop(managed);
        let is_broken = on_host.get_mapped_range(..).map_err(|error| failed(&error))?.iter().any(|&byte| byte != 0);
        on_host.unmap();
        if is_broken { Err(RenderError::NotFinite) } else { Ok(texture) }
    }

    /// A texture of this size that nobody shows.
    fn texture(&mut self, width: u32, height: u32) -> Arc<wgpu::Texture> {
        let size = wgpu::Extent3d { width, height, depth_or_array_layers: 1 };
        self.textures.retain(|texture| texture.size() == size);
        if let Some(free) = self.textures.iter().find(|texture| Arc::strong_count(texture) == 1) {
            return free.clone();
        }
        let usage = wgpu::TextureUsages::STORAGE_BINDING | wgpu::TextureUsages::COPY_SRC;
        let texture = Arc::new(picture_texture(&self.device, size, usage));
        self.textures.push(texture.clone());
        texture
    }
}

/// A texture as windows show pictures: sRGB-encoded values that may be sampled, and used as `usage` says.
pub fn picture_texture(device: &wgpu::Device, size: wgpu::Extent3d, usage: wgpu::TextureUsages) -> wgpu::Texture {
    device.create_texture(&wgpu::TextureDescriptor {
        label: Some("picture"),
        size,
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: wgpu::TextureFormat::Rgba8Unorm,
        usage: usage | wgpu::TextureUsages::TEXTURE_BINDING,
        view_formats: &[],
    })
}
