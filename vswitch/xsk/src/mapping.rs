//! Memory shared with the kernel, unmapped when dropped.
#![allow(unsafe_code, reason = "memory mapping; the argument is in the crate's documentation")]

use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A mapped region. The bytes are plain memory of `len` bytes at `ptr` until this value is dropped.
#[derive(Debug)]
pub struct Mapping {
    ptr: NonNull<u8>,
    len: usize,
}

// SAFETY: why needed: a raw pointer is not Send, and ports move from the control thread to a worker.
// Why sound: the region is process-wide memory with no thread affinity; the mapping itself hands out no references.
unsafe impl Send for Mapping {}
// SAFETY: as for Send: `&Mapping` gives only the address and the length.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes of `fd` at `offset`, shared, readable and writable, with its pages present.
    pub(crate) fn shared(fd: impl AsFd, len: usize, offset: u64) -> Result<Mapping, Errno> {
        // SAFETY: why needed: mmap has no safe form. Why sound: the kernel chooses the address (null hint, no MAP_FIXED),
        // so no existing mapping is touched; the result is owned by the returned value alone.
        let ptr = unsafe {
            mmap(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::POPULATE,
                fd.as_fd(),
                offset,
            )?
        };
        let ptr = NonNull::new(ptr.cast()).ok_or(Errno::NOMEM)?;
        Ok(Mapping { ptr, len })
    }

    /// A new memfd of `len` bytes, mapped; in huge pages (2 MiB by default) when `huge`.
    pub(crate) fn memfd(name: &str, len: usize, huge: bool) -> Result<(Mapping, OwnedFd), Errno> {
        let mut flags = MemfdFlags::CLOEXEC;
        if huge {
            flags |= MemfdFlags::HUGETLB;
        }
        let fd = memfd_create(name, flags)?;
        ftruncate(&fd, len as u64)?;
        let mapping = Mapping::shared(&fd, len, 0)?;
        Ok((mapping, fd))
    }

    /// Address of the first byte.
    pub(crate) fn as_ptr(&self) -> NonNull<u8> {
        self.ptr
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the region has no bytes; it never has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: why needed: munmap has no safe form. Why sound: `ptr` and `len` are what mmap returned, unmapped once,
        // here; whoever keeps pointers into the region (rings, UMEM) owns the mapping and is dropped before it.
        let _ = unsafe { munmap(self.ptr.as_ptr().cast(), self.len) };
    }
}
