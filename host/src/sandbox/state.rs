//! What one running step has in the host: its gate, its resources, its budget.

use super::{bindings::host::wasi::filesystem::types::DescriptorFlags, limits::Budget, process::Blocks};
use crate::gate::{FsFault, Gate, Listing, Node, Stop};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// The data of a step's store.
pub(super) struct StepState {
    pub(super) shared: Arc<Shared>,
    pub(super) table: ResourceTable,
    pub(super) wasi: WasiCtx,
    pub(super) budget: Budget,
    pub(super) blocks: Blocks,
    /// Opened once when the step starts; a guest that asks again gets new handles of the same nodes.
    pub(super) preopens: Vec<(Arc<OpenNode>, String)>,
}

impl WasiView for StepState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// The gate, shared between the store and the streams in its table. One thread runs a step, so nobody ever waits.
pub(super) struct Shared {
    gate: Mutex<Gate>,
    /// The first reason to stop that came up where no error could be returned: while a resource was dropped.
    stopped: Mutex<Option<Stop>>,
}

impl Shared {
    pub(super) fn new(gate: Gate) -> Arc<Shared> {
        Arc::new(Shared { gate: Mutex::new(gate), stopped: Mutex::new(None) })
    }

    pub(super) fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails when a resource that was dropped before asked to stop.
    pub(super) fn check(&self) -> Result<(), Stop> {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        stopped.clone().map_or(Ok(()), Err)
    }

    fn remember(&self, stop: Stop) {
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        stopped.get_or_insert(stop);
    }

    /// Gives the gate back once store and streams are gone.
    pub(super) fn into_parts(self: Arc<Self>) -> (Gate, Option<Stop>) {
        let Some(shared) = Arc::into_inner(self) else {
            unreachable!("the store that held the other references was dropped")
        };
        let gate = shared.gate.into_inner().unwrap_or_else(PoisonError::into_inner);
        (gate, shared.stopped.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A node of the gate that is closed when the last descriptor and stream on it are gone: a stream outlives its descriptor.
pub(super) struct OpenNode {
    pub(super) shared: Arc<Shared>,
    pub(super) node: Node,
    /// When a write counts as done, as the guest asked when it opened the node.
    pub(super) durability: DescriptorFlags,
}

impl OpenNode {
    pub(super) fn new(shared: &Arc<Shared>, node: Node, flags: DescriptorFlags) -> Arc<OpenNode> {
        let asked = DescriptorFlags::FILE_INTEGRITY_SYNC
            | DescriptorFlags::DATA_INTEGRITY_SYNC
            | DescriptorFlags::REQUESTED_WRITE_SYNC;
        Arc::new(OpenNode { shared: Arc::clone(shared), node, durability: flags & asked })
    }

    /// Writes, at the end if there is no `offset`, and flushes if the guest asked for that.
    pub(super) fn write(&self, bytes: &[u8], offset: Option<u64>) -> Result<u64, FsFault> {
        let mut gate = self.shared.gate();
        let written = match offset {
            Some(offset) => gate.write(self.node, bytes, offset)?,
            None => gate.append(self.node, bytes)?,
        };
        if self.durability.contains(DescriptorFlags::FILE_INTEGRITY_SYNC) {
            gate.sync(self.node, false)?;
        } else if self.durability.contains(DescriptorFlags::DATA_INTEGRITY_SYNC) {
            gate.sync(self.node, true)?;
        }
        Ok(written)
    }
}

impl Drop for OpenNode {
    fn drop(&mut self) {
        let closed = self.shared.gate().close(self.node);
        if let Err(stop) = closed {
            self.shared.remember(stop);
        }
    }
}

/// `wasi:filesystem/types.descriptor`.
pub struct Descriptor(pub(super) Arc<OpenNode>);

/// `wasi:filesystem/types.directory-entry-stream`.
pub struct DirectoryEntries {
    pub(super) shared: Arc<Shared>,
    pub(super) listing: Listing,
    /// The directory stays open while it is listed.
    pub(super) _directory: Arc<OpenNode>,
}

impl Drop for DirectoryEntries {
    fn drop(&mut self) {
        self.shared.gate().list_close(self.listing);
    }
}
