// Paints a picture into the viewport: one sample a pixel and nothing else. Software rasterisers spend several times as
// long on egui's own shader, which takes both sides of its branches for every pixel.

// Corners of what is seen, in texture coordinates: left, top, right, bottom.
@group(0) @binding(0) var<uniform> seen: vec4<f32>;
@group(0) @binding(1) var picture: texture_2d<f32>;
@group(0) @binding(2) var picture_sampler: sampler;

// True if the target encodes what is written to it; the picture's values are encoded already.
override target_encodes: bool;

struct Corner {
    @builtin(position) position: vec4<f32>,
    @location(0) place: vec2<f32>,
}

// Two triangles from four corners.
@vertex
fn corner(@builtin(vertex_index) index: u32) -> Corner {
    let right_down = vec2<f32>(f32(index & 1u), f32(index >> 1u));
    let position = vec2<f32>(2.0, -2.0) * right_down + vec2<f32>(-1.0, 1.0);
    return Corner(vec4<f32>(position, 0.0, 1.0), mix(seen.xy, seen.zw, right_down));
}

@fragment
fn paint(in: Corner) -> @location(0) vec4<f32> {
    let found = textureSampleLevel(picture, picture_sampler, in.place, 0.0);
    var color = found.rgb * found.a;
    if (target_encodes) {
        let steep = pow((color + 0.055) / 1.055, vec3<f32>(2.4));
        color = select(steep, color / 12.92, color < vec3<f32>(0.04045));
    }
    return vec4<f32>(color, 1.0);
}
