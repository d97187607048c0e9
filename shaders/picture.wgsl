// Shows a picture tensor: values in -1..1, any strides, 1, 3 or 4 channels -> an opaque RGBA texture.
// Rounding as in the reference tools: floor(clamp(x * 127.5 + 128, 0, 255)). Says whether some value is not finite.

struct Shape {
    width: u32,
    height: u32,
    channels: u32,
    // Distances in elements: the tensor may be a view in any memory order.
    stride_channel: u32,
    stride_row: u32,
    stride_column: u32,
    // First element in the binding, whose start has to be aligned.
    first: u32,
    padding: u32,
}

@group(0) @binding(0) var<uniform> shape: Shape;
@group(0) @binding(1) var<storage, read> values: array<f32>;
@group(0) @binding(2) var target_texture: texture_storage_2d<rgba8unorm, write>;
@group(0) @binding(3) var<storage, read_write> broken: atomic<u32>;

fn level(channel: u32, pixel: u32) -> f32 {
    let x = values[shape.first + channel * shape.stride_channel + pixel];
    // By its bits, because compilers may take it that comparisons meet no NaN.
    if ((bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u) {
        atomicStore(&broken, 1u);
    }
    return floor(clamp(x * 127.5 + 128.0, 0.0, 255.0)) / 255.0;
}

@compute @workgroup_size(8, 8)
fn show(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= shape.width || id.y >= shape.height) {
        return;
    }
    let pixel = id.y * shape.stride_row + id.x * shape.stride_column;
    let red = level(0u, pixel);
    var color = vec4<f32>(red, red, red, 1.0);
    if (shape.channels >= 3u) {
        color = vec4<f32>(red, level(1u, pixel), level(2u, pixel), 1.0);
    }
    if (shape.channels == 4u) {
        color.a = level(3u, pixel);
    }
    textureStore(target_texture, vec2<i32>(id.xy), color);
}
