//! All limits in one place: what a file may cost to read, and a network to load and draw.
//!
//! A checkpoint is hostile input: a few kB can claim anything. Each limit is far above what real files need and far below
//! what hurts. What may grow with the file does: a file that is long has been carried here byte by byte, so it may cost more than
//! one of 64 kB, which is to take less than 1 GB and 10 s on two cores, however it is opened, drawn and factorised.

/// `base` and so much for every byte of the file, up to `most`.
const fn grown(base: u64, per_byte: u64, file_len: u64, most: u64) -> u64 {
    let grown = base.saturating_add(per_byte.saturating_mul(file_len));
    if grown < most { grown } else { most }
}

// Reading.

/// Opcodes of all pickles in a file. Real checkpoints have tens of thousands; logs kept in them may have millions. The old
/// format is read twice, and pickles in pickles once more, so a byte may be read four times.
pub const fn opcodes(file_len: u64) -> u64 {
    grown(2_000_000, 4, file_len, 64_000_000)
}

/// Bytes of texts, lists and maps of a file in memory; tensors stay in the file. A value takes 20 times the bytes that it is
/// written with.
pub const fn structure_bytes(file_len: u64) -> u64 {
    grown(64 << 20, 32, file_len, 512 << 20)
}

/// Bytes of a file's compressed parts once they are inflated. Weights get shorter by a tenth, masks and zeros by hundreds.
pub const fn inflated_bytes(file_len: u64) -> u64 {
    grown(64 << 20, 16, file_len, 4 << 30)
}

/// Pickles inside pickles: NVIDIA's files keep each storage as a file of its own, and nothing nests deeper.
pub const PICKLES_IN_PICKLES: u8 = 1;
/// Values on the stack of a pickle, and in its memo. Python writes lists in batches of 1000, so real stacks stay small.
pub const STACK: usize = 4 << 20;
/// Bytes of a line of the text protocols 0 and 1.
pub const LINE: usize = 1 << 20;
/// Bytes of a storage's key; PyTorch writes short numbers.
pub const STORAGE_KEY: usize = 256;
/// Bytes of a safetensors header; of a few thousand tensors it has a few hundred kB.
pub const SAFETENSORS_HEADER: u64 = 32 << 20;
/// Bytes of an npy header. NumPy writes less than 128 for plain arrays; only records come near this.
pub const NPY_HEADER: usize = 1 << 16;
/// Bytes of a config.json beside the file.
pub const CONFIG: u64 = 64 << 10;
/// Axes of a tensor; convolution weights have at most five.
pub const AXES: usize = 16;
/// Elements of a view that repeats those of its storage (stride 0).
pub const REPEATED: usize = 1 << 20;

// Networks in files.

/// Maps and lists inside each other in which networks are looked for.
pub const NESTING: usize = 16;
/// Entries of maps and lists that are looked at, counting a shared map each time. Ends walks through maps that contain
/// themselves; logs of a training may be kept beside a network, so it is generous.
pub const LOOKS: usize = 2_000_000;
/// Entries of a map or list that can hold a network; longer ones are logs.
pub const ENTRIES: usize = 200_000;
/// Steps of dotted names that are looked at for words.
pub const STEPS: usize = 24;
/// Places that may hold the generator.
pub const CANDIDATES: usize = 200;
/// Places whose tensors are compared with the layouts.
pub const TRIED: usize = 24;

/// Elements of all tensors of a network. Those of one network do not overlap, but those of a hostile file may all be views of
/// one large storage: then reading each of them would cost far more than the file is long.
pub const fn elements(file_len: u64) -> u64 {
    grown(4 << 20, 2, file_len, u64::MAX)
}

/// Times that a size can double from 4 on, or blocks that double: up to 8192 pixels and one more.
pub const DOUBLINGS: usize = 12;
/// Pixels of the longer side of a picture; StyleGAN3's layers carry a margin besides.
pub const SIDE: usize = 8192;
/// Steps of up- or down-sampling in one filter of StyleGAN3; public networks have at most 4.
pub const RESAMPLING: usize = 8;
/// Layers of a network that read a code.
pub const LAYERS: usize = 256;
/// Layers of a mapping network.
pub const MAPPING_LAYERS: usize = 64;
/// Numbers of a latent code, z or w: SeFa makes a square matrix of them and finds its eigenvectors, which takes 1.5 s at
/// this size on two cores, and eight times as long at the double. Public generators have 512 and less.
pub const LATENT: usize = 2048;

/// Numbers of the matrices of all layers that SeFa adds up, each as wide as the code: 256 layers of StyleGAN's width.
pub const GRAMS: usize = 64 << 20;

// Drawing.

/// Bytes of all maps that stay in memory between edits, the largest one of each stage, and of two pictures. StyleGAN2 of 1024 pixels has 400 MB
/// in a file of 120 MB or more.
pub const fn map_bytes(file_len: u64) -> u64 {
    grown(256 << 20, 64, file_len, 8 << 30)
}

/// Multiplications and additions of a picture, by an upper bound that takes every convolution for one of the largest size:
/// 30 million weights times a million pixels for StyleGAN2 of 1024 pixels.
pub const fn multiply_adds(file_len: u64) -> u64 {
    grown(500_000_000_000, 4_000_000, file_len, u64::MAX)
}

/// Multiplications, or what takes as long, that may go into comparing a network with what its batch norms have stored: for a
/// file of a few kB about a second on two cores, for one of 2 MB and more at most ten.
pub const fn statistics(file_len: u64) -> u64 {
    grown(35_000_000_000, 250_000, file_len, 400_000_000_000)
}

// Predictors: networks that look at pictures.

/// Bytes of their file.
pub const PREDICTOR_FILE: u64 = 1 << 30;
/// Bytes of their weights in f32, of which a file may have few and say that they are many.
pub const PREDICTOR_WEIGHTS: u64 = 2 << 30;
/// Nodes between a picture and what is said of it; large transformers have two thousand. The runtime goes from the last to the first
/// by calling itself, so that a chain of many times as many would use up the stack.
pub const PREDICTOR_NODES: usize = 4096;

/// Bytes of all maps that are made of one picture, none of them given back: 400 MB for a ResNet-152, in a file of 240 MB.
pub const fn predictor_maps(file_len: u64) -> u64 {
    grown(512 << 20, 64, file_len, 16 << 30)
}

/// Multiplications and additions for one picture: 40 thousand million for an EfficientNet-B7, in a file of 260 MB; the base takes a
/// core about a second.
pub const fn predictor_work(file_len: u64) -> u64 {
    grown(20_000_000_000, 2_000, file_len, 1_000_000_000_000)
}

/// Numbers in the largest tensor while z are mapped to w.
pub const ESTIMATE: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_grow_with_the_file_and_never_wrap() {
        let growing = [
            opcodes,
            structure_bytes,
            inflated_bytes,
            elements,
            map_bytes,
            multiply_adds,
            statistics,
            predictor_maps,
            predictor_work,
        ];
        for limit in growing {
            assert!(limit(64 << 10) <= limit(1 << 30) && limit(1 << 30) <= limit(u64::MAX));
        }
        assert!(statistics(7 << 10) < 40_000_000_000 && 10 * statistics(7 << 10) < statistics(2 << 20));
        assert!(structure_bytes(64 << 10) + inflated_bytes(64 << 10) + 3 * map_bytes(64 << 10) < 1 << 30);
    }
}
