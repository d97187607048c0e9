//! What the names in pickles mean here. Every name that is not in this table means nothing and is never called.

use super::tensor::DType;

/// Meaning of a global.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A map: called with nothing, or with a list of pairs.
    Map,
    /// A map whose arguments do not matter (the default factory of a `defaultdict`).
    EmptyMap,
    /// Gives its first argument back: a set of a list, a size of a tuple, a parameter of a tensor.
    First,
    /// `(storage, offset, size, stride, ..)` -> tensor.
    RebuildTensor,
    /// `(storage, offset, size, stride, gradient, hooks, dtype, ..)` -> tensor.
    RebuildTyped,
    /// A tensor of a kind that is not read, in words.
    Unread(&'static str),
    /// A subclass whose tensors are its attributes.
    RebuildWrapper,
    /// `(function, type, arguments, state)` -> what the function makes of the arguments.
    RebuildFromType,
    /// `(bytes,)` -> storage, from a whole legacy file.
    LoadStorage,
    /// Name of a storage class in a persistent id.
    Storage(DType),
    /// Name of an element type.
    ElementType(DType),
    /// An array that is filled by BUILD.
    NumpyArray,
    /// `(dtype, bytes)` -> tensor without axes.
    NumpyScalar,
    NumpyDType,
    /// `(buffer, dtype, shape, order)` -> tensor.
    NumpyFromBuffer,
    /// `(text, "latin1")` -> bytes.
    Encode,
    /// `(class, ..)` -> an object of that class.
    NewObject,
    /// Plain data that nothing here needs: harmless, opaque.
    Data,
    /// Any other name. A Python reader would run code for it.
    Unknown,
}

/// Looks up `module.name`.
pub(super) fn meaning(name: &str) -> Meaning {
    if let Some(class) = name.strip_prefix("torch.") {
        if let Some(dtype) = storage_dtype(class) {
            return Meaning::Storage(dtype);
        }
        if let Some(dtype) = element_type(class) {
            return Meaning::ElementType(dtype);
        }
    }
    // numpy 2 renamed `core` to `_core`; Python 3 renamed `__builtin__` to `builtins` and `copy_reg` to `copyreg`.
    match name {
        "collections.OrderedDict" => Meaning::Map,
        "dnnlib.util.EasyDict" | "dnnlib.EasyDict" | "easydict.EasyDict" => Meaning::Map,
        "builtins.dict" | "__builtin__.dict" => Meaning::Map,
        "collections.defaultdict" => Meaning::EmptyMap,
        "builtins.set" | "__builtin__.set" | "builtins.frozenset" | "__builtin__.frozenset" => Meaning::First,
        "builtins.list" | "__builtin__.list" | "builtins.tuple" | "__builtin__.tuple" => Meaning::First,
        "builtins.bytearray" | "__builtin__.bytearray" | "builtins.bytes" => Meaning::First,
        "torch.Size" => Meaning::First,
        "torch.jit._pickle.build_intlist" | "torch.jit._pickle.build_doublelist" => Meaning::First,
        "torch.jit._pickle.build_boollist" | "torch.jit._pickle.build_tensorlist" => Meaning::First,
        "torch.jit._pickle.restore_type_tag" => Meaning::First,
        "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state" => Meaning::First,
        "torch.nn.parameter.Parameter" | "torch.nn.Parameter" | "torch.nn.parameter.Buffer" => Meaning::First,
        "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2" => Meaning::RebuildTensor,
        "torch._utils._rebuild_tensor_v3" => Meaning::RebuildTyped,
        // Tensors of other devices (XLA for TPUs, MPS, HPU, Ascend and others): a numpy array or a tensor, and where it was.
        "torch._utils._rebuild_device_tensor_from_numpy" | "torch._utils._rebuild_xla_tensor" => Meaning::First,
        "torch._utils._rebuild_device_tensor_from_cpu_tensor" => Meaning::First,
        "torch._utils._rebuild_wrapper_subclass" => Meaning::RebuildWrapper,
        "torch._utils._rebuild_qtensor" => Meaning::Unread("a quantised tensor"),
        "torch._utils._rebuild_sparse_tensor" => Meaning::Unread("a sparse tensor"),
        "torch._utils._rebuild_sparse_csr_tensor" => Meaning::Unread("a sparse tensor"),
        "torch._utils._rebuild_nested_tensor" => Meaning::Unread("a nested tensor"),
        "torch._utils._rebuild_meta_tensor_no_storage" => {
            Meaning::Unread("a tensor of the meta device, without numbers")
        }
        "torch._tensor._rebuild_from_type" | "torch._tensor._rebuild_from_type_v2" => Meaning::RebuildFromType,
        "torch.storage.UntypedStorage" | "torch.UntypedStorage" => Meaning::Storage(DType::U8),
        "torch.storage._load_from_bytes" => Meaning::LoadStorage,
        "numpy.core.multiarray._reconstruct" | "numpy._core.multiarray._reconstruct" => Meaning::NumpyArray,
        "numpy.core.multiarray.scalar" | "numpy._core.multiarray.scalar" => Meaning::NumpyScalar,
        "numpy.core.numeric._frombuffer" | "numpy._core.numeric._frombuffer" => Meaning::NumpyFromBuffer,
        "numpy.dtype" => Meaning::NumpyDType,
        "_codecs.encode" => Meaning::Encode,
        "copyreg._reconstructor" | "copy_reg._reconstructor" => Meaning::NewObject,
        "copyreg.__newobj__" | "copy_reg.__newobj__" => Meaning::NewObject,
        "argparse.Namespace" | "types.SimpleNamespace" | "numpy.ndarray" | "torch.device" => Meaning::Data,
        "builtins.object" | "__builtin__.object" | "builtins.complex" | "builtins.slice" => Meaning::Data,
        "builtins.int" | "builtins.float" | "builtins.str" | "builtins.bool" | "builtins.range" => Meaning::Data,
        "datetime.datetime" | "datetime.date" | "datetime.timedelta" | "collections.Counter" => Meaning::Data,
        "pathlib.PosixPath" | "pathlib.WindowsPath" | "pathlib.PurePosixPath" => Meaning::Data,
        _ => Meaning::Unknown,
    }
}

fn storage_dtype(class: &str) -> Option<DType> {
    Some(match class {
        "FloatStorage" => DType::F32,
        "HalfStorage" => DType::F16,
        "BFloat16Storage" => DType::BF16,
        "DoubleStorage" => DType::F64,
        "LongStorage" => DType::I64,
        "IntStorage" => DType::I32,
        "ShortStorage" => DType::I16,
        "CharStorage" => DType::I8,
        "ByteStorage" => DType::U8,
        "BoolStorage" => DType::Bool,
        _ => return None,
    })
}

fn element_type(name: &str) -> Option<DType> {
    Some(match name {
        "float8_e4m3fn" => DType::F8E4M3,
        "float8_e4m3fnuz" => DType::F8E4M3Fnuz,
        "float8_e5m2" => DType::F8E5M2,
        "float8_e5m2fnuz" => DType::F8E5M2Fnuz,
        "float16" => DType::F16,
        "bfloat16" => DType::BF16,
        "float32" => DType::F32,
        "float64" => DType::F64,
        "uint8" => DType::U8,
        "int8" => DType::I8,
        "int16" => DType::I16,
        "int32" => DType::I32,
        "int64" => DType::I64,
        "bool" => DType::Bool,
        _ => return None,
    })
}
