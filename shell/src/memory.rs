//! Where the program's memory comes from: jemalloc, told to give back within seconds what is not in use any more. A
//! gateway that a burst has made large must not stay so. docs/performance.md says what it costs, and what else was tried.
#![allow(unsafe_code)]

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// How jemalloc works, in its own words (jemalloc(3), "TUNING"): what is free goes back after a second, and a thread of its
/// own sees to that, so that it happens in a gateway that has fallen silent too.
// SAFETY: the library declares a `const char *` of this name, which it reads as a C string when it begins, and which a
// reference to an array of bytes that ends in a zero is.
#[used]
#[unsafe(export_name = "_rjem_malloc_conf")]
static CONF: &[u8; 60] = b"background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0\0";
