//! Generated from the WIT files: what the sandbox implements itself.

/// `wasi:filesystem` with resources of our own, so that every call goes through the gate, and the process adapter's
/// private interface.
pub(super) mod host {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "unship:sandbox/host",
        require_store_data_send: true,
        imports: { default: trappable },
        trappable_error_type: {
            "wasi:filesystem/types.error-code" => crate::sandbox::wasi_fs::FsError,
        },
        with: {
            "wasi:io/error": wasmtime_wasi_io::bindings::wasi::io::error,
            "wasi:io/poll": wasmtime_wasi_io::bindings::wasi::io::poll,
            "wasi:io/streams": wasmtime_wasi_io::bindings::wasi::io::streams,
            "wasi:clocks/wall-clock": wasmtime_wasi::p2::bindings::clocks::wall_clock,
            "wasi:filesystem/types.descriptor": crate::sandbox::state::Descriptor,
            "wasi:filesystem/types.directory-entry-stream": crate::sandbox::state::DirectoryEntries,
        },
    });
}

/// `unship:step@1.0.0`: what a step may ask for, and its two exports.
pub(super) mod step_v1 {
    wasmtime::component::bindgen!({
        path: "../crates/step/wit/v1",
        world: "unship:step/step",
        imports: { default: trappable },
        exports: { default: async },
        trappable_error_type: {
            "unship:step/types.error" => crate::sandbox::unship_v1::CallError,
        },
    });
}
