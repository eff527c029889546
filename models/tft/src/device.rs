//! Where tensors live.

use std::fmt;

/// A device that runs the network. The rest of Argus names devices with this type and never sees libtorch's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// A CUDA card by its number.
    Cuda(usize),
}

impl Device {
    /// The first CUDA card where libtorch has one, else the processor.
    pub fn best() -> Self {
        if tch::Cuda::is_available() {
            Self::Cuda(0)
        } else {
            Self::Cpu
        }
    }

    /// The same device as libtorch names it.
    pub fn torch(self) -> tch::Device {
        match self {
            Self::Cpu => tch::Device::Cpu,
            Self::Cuda(index) => tch::Device::Cuda(index),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}
