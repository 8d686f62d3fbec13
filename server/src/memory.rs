//! The process's memory: what was ours stays ours, and some of it is touched ahead of need.
//!
//! A page that is touched for the first time is made by the kernel (and, on a virtual machine, by
//! its host) while whoever touched it waits: a busy frame takes hundreds of megabytes for ids
//! within seconds, and the engine would wait for each. It changes no outcome and bounds nothing.
#![expect(unsafe_code, reason = "the allocator's options have no safe interface")]

use std::time::Instant;

/// Number of `mi_option_purge_delay` in mimalloc 3's `mi_option_t`.
const PURGE_DELAY: i32 = 15;
/// Never.
const NEVER: std::ffi::c_long = -1;
/// What the allocator takes in one piece, large enough to come straight from its arenas. It rounds
/// up to slices of 64 KiB and adds some bytes: a whole mebibyte would take seventeen of them.
const PIECE_SIZE: usize = MIB - (64 << 10);
const PAGE_SIZE: usize = 4_096;
const MIB: usize = 1 << 20;

/// Tells the allocator to keep what is freed for the next use, unless the environment says
/// otherwise (`MIMALLOC_PURGE_DELAY`).
pub(crate) fn keep_freed() {
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
        // SAFETY: the call takes two integers, and stores the second in the option of that number
        // if there is one; it may be made at any time.
        unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, NEVER) };
    }
}

/// Takes `size` bytes, touches each page and gives them back to the allocator, on a thread that
/// ends when that is done.
pub(crate) fn touch_ahead(size: usize) {
    if size == 0 {
        return;
    }
    let touch = move || {
        let begun = Instant::now();
        let pieces: Vec<Vec<u8>> = (0..size / MIB).map(|_| touched_piece()).collect();
        drop(pieces);
        let seconds = begun.elapsed().as_secs_f64();
        tracing::debug!(mib = size / MIB, seconds, "memory is ours");
    };
    // Without it the frame is as right, only slower at first.
    if let Err(error) = std::thread::Builder::new().name("memory".into()).spawn(touch) {
        tracing::warn!(%error, "cannot start the thread that touches memory ahead of need");
    }
}

fn touched_piece() -> Vec<u8> {
    let mut piece = vec![0; PIECE_SIZE];
    piece.iter_mut().step_by(PAGE_SIZE).for_each(|byte| *byte = 1);
    // Otherwise nobody would see the stores, and they might be left out.
    std::hint::black_box(piece)
}
