// Paints a picture into the viewport: one sample a pixel and nothing else. Software rasterisers spend several times as
// long on egui's own shader, which takes both sides of its branches for every pixel.

struct View {
    // Corners of what is seen, in texture coordinates: left, top, right, bottom.
    seen: vec4<f32>,
    // Only x counts: what differences are multiplied by.
    gain: vec4<f32>,
}

@group(0) @binding(0) var<uniform> view: View;
@group(0) @binding(1) var picture_sampler: sampler;
@group(0) @binding(2) var picture: texture_2d<f32>;
// Only where two pictures are compared.
@group(0) @binding(3) var other: texture_2d<f32>;

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
    return Corner(vec4<f32>(position, 0.0, 1.0), mix(view.seen.xy, view.seen.zw, right_down));
}

// A colour as the target wants it.
fn encoded(color: vec3<f32>) -> vec4<f32> {
    if (!target_encodes) {
        return vec4<f32>(color, 1.0);
    }
    let steep = pow((color + 0.055) / 1.055, vec3<f32>(2.4));
    return vec4<f32>(select(steep, color / 12.92, color < vec3<f32>(0.04045)), 1.0);
}

@fragment
fn paint(in: Corner) -> @location(0) vec4<f32> {
    let found = textureSampleLevel(picture, picture_sampler, in.place, 0.0);
    return encoded(found.rgb * found.a);
}

// How much two pictures differ, from black over violet, red and yellow to white.
@fragment
fn paint_difference(in: Corner) -> @location(0) vec4<f32> {
    let a = textureSampleLevel(picture, picture_sampler, in.place, 0.0);
    let b = textureSampleLevel(other, picture_sampler, in.place, 0.0);
    let apart = abs(a.rgb * a.a - b.rgb * b.a);
    let heat = clamp(view.gain.x * dot(apart, vec3<f32>(1.0 / 3.0)), 0.0, 1.0);
    return encoded(vec3<f32>(sqrt(heat), heat * heat * heat, max(sin(6.2831853 * heat), smoothstep(0.85, 1.0, heat))));
}
