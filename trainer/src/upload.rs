//! Host-to-device copies. On a GPU they run on their own stream and overlap with the computation.

use anyhow::Result;
use regatta_torch_ext::{Event, HostBytes, Stream};
use tch::{Device, Kind, Tensor};

/// Maximum number of pending blocks.
const SLOTS: usize = 2;

/// Copies blocks of bytes to the device, where they are taken in the order in which they were begun. Owns the host memory of
/// the blocks while nobody fills it.
pub(crate) struct Uploader {
    device: Device,
    /// Stream of the copies; none on a CPU, which needs no copy.
    stream: Option<Stream>,
    /// Used in turn.
    slots: [Slot; SLOTS],
    begun: usize,
    taken: usize,
    /// Host memory that is not in use.
    free: Vec<HostBytes>,
}

#[derive(Default)]
struct Slot {
    /// The block, until its copy has completed.
    host: Option<HostBytes>,
    /// None on a CPU.
    on_device: Option<Tensor>,
    /// Length of the current block in bytes.
    len: usize,
    /// Event on the copy stream after the copy of the block.
    copied: Option<Event>,
    /// Event on the compute stream after the last use of the device memory.
    free: Option<Event>,
}

impl Uploader {
    pub(crate) fn new(device: Device) -> Result<Self> {
        let stream = match device {
            Device::Cpu => None,
            _ => Some(Stream::from_pool(device, false)?),
        };
        Ok(Self { device, stream, slots: Default::default(), begun: 0, taken: 0, free: Vec::new() })
    }

    /// Returns the number of blocks begun and not yet taken.
    pub(crate) fn pending(&self) -> usize {
        self.begun - self.taken
    }

    /// Returns host memory of at least `len` bytes, which was used before if there is some. [`begin`](Self::begin) or
    /// [`give_back`](Self::give_back) takes it back.
    ///
    /// # Errors
    /// Page-locked memory that cannot be allocated.
    pub(crate) fn host_block(&mut self, len: usize) -> Result<HostBytes> {
        let place = self.free.iter().position(|block| block.len() >= len);
        if let Some(place) = place {
            return Ok(self.free.swap_remove(place));
        }
        // A larger block replaces a smaller one, so that their number does not grow.
        drop(self.free.pop());
        Ok(HostBytes::zeros(len, self.device)?)
    }

    /// Takes back host memory that was not filled.
    pub(crate) fn give_back(&mut self, block: HostBytes) {
        self.free.push(block);
    }

    /// Starts to copy the first `len` bytes of `block`. The host waits for the device only if it is two blocks ahead.
    ///
    /// # Errors
    /// Device errors.
    pub(crate) fn begin(&mut self, block: HostBytes, len: usize) -> Result<()> {
        assert!(self.pending() < SLOTS, "a block is taken before the next but one is begun");
        let slot = &mut self.slots[self.begun % SLOTS];
        if let Some(copied) = slot.copied.take() {
            copied.synchronize()?;
        }
        self.free.extend(slot.host.take());
        if let Some(stream) = self.stream {
            let on_device = slot.memory(len, self.device)?;
            if let Some(free) = slot.free.take() {
                stream.wait(&free)?;
            }
            block.copy_to(&mut on_device.narrow(0, 0, len as i64), stream)?;
            slot.copied = Some(Event::after(stream, false)?);
        }
        (slot.host, slot.len) = (Some(block), len);
        self.begun += 1;
        Ok(())
    }

    /// Returns the result of `make` on the oldest pending block, on the device. The result must not be a view of the bytes.
    ///
    /// # Errors
    /// Device errors.
    pub(crate) fn take<T>(&mut self, make: impl FnOnce(&Tensor) -> T) -> Result<T> {
        assert!(self.pending() > 0, "a block is begun before it is taken");
        let slot = &mut self.slots[self.taken % SLOTS];
        self.taken += 1;
        match (&slot.on_device, &slot.copied) {
            (Some(on_device), Some(copied)) => {
                let computing = Stream::current(self.device)?;
                computing.wait(copied)?;
                let made = make(&on_device.narrow(0, 0, slot.len as i64));
                slot.free = Some(Event::after(computing, false)?);
                Ok(made)
            }
            _ => {
                let mut block = slot.host.take().expect("a begun block has its memory");
                let made = make(&Tensor::from_slice(&block.as_mut_slice()[..slot.len]));
                self.free.push(block);
                Ok(made)
            }
        }
    }

    /// Drops the oldest pending block.
    pub(crate) fn discard(&mut self) {
        assert!(self.pending() > 0, "a block is begun before it is dropped");
        // Its memory is used again when its turn comes, after the copy.
        self.taken += 1;
    }
}

impl Slot {
    /// Returns device memory of at least `len` bytes.
    fn memory(&mut self, len: usize, device: Device) -> Result<Tensor> {
        if self.on_device.as_ref().is_none_or(|memory| memory.numel() < len) {
            self.on_device = Some(Tensor::empty([len as i64], (Kind::Uint8, device)));
            // The allocator may hand out memory that queued kernels still use.
            self.free = Some(Event::after(Stream::current(device)?, false)?);
        }
        Ok(self.on_device.as_ref().expect("it was made above").shallow_clone())
    }
}

impl Drop for Uploader {
    /// Waits for pending copies, whose memory is about to be freed.
    fn drop(&mut self) {
        if let Some(stream) = self.stream {
            // A failed device copies nothing more.
            _ = stream.synchronize();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(uploader: &mut Uploader, value: u8, len: usize) {
        let mut block = uploader.host_block(len).unwrap();
        block.as_mut_slice()[..len].fill(value);
        uploader.begin(block, len).unwrap();
    }

    fn bytes(uploader: &mut Uploader) -> Vec<u8> {
        uploader.take(|bytes| Vec::<u8>::try_from(bytes).unwrap()).unwrap()
    }

    #[test]
    fn blocks_arrive_in_their_order_at_any_length() {
        let mut uploader = Uploader::new(Device::Cpu).unwrap();
        begin(&mut uploader, 1, 3);
        for value in 2..6 {
            begin(&mut uploader, value, 10 - usize::from(value));
            let before = if value == 2 { 3 } else { 11 - usize::from(value) };
            assert_eq!(bytes(&mut uploader), vec![value - 1; before]);
        }
        assert_eq!(bytes(&mut uploader), vec![5; 5]);
        assert_eq!(uploader.pending(), 0);
    }

    #[test]
    fn dropped_blocks_are_passed_over_and_memory_is_used_again() {
        let mut uploader = Uploader::new(Device::Cpu).unwrap();
        for round in 0..5 {
            begin(&mut uploader, 1, 4 + round);
            begin(&mut uploader, 2, 4);
            uploader.discard();
            assert_eq!(bytes(&mut uploader), [2; 4]);
            let held = uploader.slots.iter().filter(|slot| slot.host.is_some()).count();
            assert!(uploader.free.len() + held <= SLOTS, "{round}");
        }
        let unused = uploader.host_block(9).unwrap();
        uploader.give_back(unused);
        assert!(!uploader.host_block(1).unwrap().is_empty());
    }
}
