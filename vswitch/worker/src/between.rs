//! What threads share, by one name: a model's stand-ins in the model-checked tests, the libraries' and the kernel's everywhere
//! else.

#[cfg(not(feature = "loom"))]
pub(crate) use {
    crate::bell::Bell,
    crate::sleep::sleep,
    crossbeam_queue::ArrayQueue,
    rtrb::{Consumer, Producer, RingBuffer},
    std::sync::atomic::{AtomicBool, Ordering, fence},
    std::thread::yield_now,
};

#[cfg(feature = "loom")]
pub(crate) use {
    crate::modelled::{Bell, Consumer, Producer, RingBuffer, sleep},
    loom::sync::atomic::{AtomicBool, Ordering, fence},
    loom::thread::yield_now,
    sluice_xsk::modelled::Queue as ArrayQueue,
};
