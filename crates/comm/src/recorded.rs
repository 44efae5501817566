//! A communicator that writes every collective into the rank's ledger.

use std::sync::Arc;

use regatta_ledger::{Collective, Element, Ledger, Operation};
use tch::{Kind, Tensor};

use crate::{CommError, Communicator};

/// Another communicator, with a ledger of what is called on it.
pub(crate) struct Recorded {
    inner: Box<dyn Communicator>,
    ledger: Arc<Ledger>,
}

impl Recorded {
    pub(crate) fn new(inner: Box<dyn Communicator>, ledger: Arc<Ledger>) -> Self {
        Self { inner, ledger }
    }

    fn record<T>(
        &self,
        operation: Operation,
        element: Element,
        bytes: usize,
        body: impl FnOnce(&dyn Communicator) -> T,
    ) -> T {
        let sequence = self.ledger.enter(Collective { operation, element, bytes: bytes as u64 });
        let result = body(&*self.inner);
        self.ledger.complete(sequence);
        result
    }
}

/// The element type of a tensor that is reduced.
pub(crate) fn element(kind: Kind) -> Element {
    match kind {
        Kind::Float => Element::F32,
        Kind::Double => Element::F64,
        Kind::BFloat16 => Element::Bf16,
        Kind::Half => Element::F16,
        Kind::Int64 => Element::I64,
        other => panic!("no collective is of {other:?}"),
    }
}

impl Communicator for Recorded {
    fn rank(&self) -> usize {
        self.inner.rank()
    }
    fn world_size(&self) -> usize {
        self.inner.world_size()
    }
    fn local_rank(&self) -> usize {
        self.inner.local_rank()
    }
    fn local_size(&self) -> usize {
        self.inner.local_size()
    }
    fn description(&self) -> String {
        self.inner.description()
    }

    fn set_step(&self, step: u64) {
        self.ledger.set_step(step);
    }

    fn all_reduce(&self, flat: &mut Tensor) -> Result<(), CommError> {
        let bytes = flat.numel() * flat.kind().elt_size_in_bytes();
        self.record(Operation::AllReduce, element(flat.kind()), bytes, |world| world.all_reduce(flat))
    }
    fn all_reduce_counts(&self, counts: &mut [i64]) {
        let bytes = size_of_val(counts);
        self.record(Operation::AllReduceCounts, Element::I64, bytes, |world| world.all_reduce_counts(counts));
    }
    fn broadcast(&self, bytes: &mut [u8]) {
        self.record(Operation::Broadcast, Element::U8, bytes.len(), |world| world.broadcast(bytes));
    }
    fn all_gather(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.record(Operation::AllGather, Element::U8, bytes.len(), |world| world.all_gather(bytes))
    }
    fn barrier(&self) {
        self.record(Operation::Barrier, Element::U8, 0, |world| world.barrier());
    }
}
