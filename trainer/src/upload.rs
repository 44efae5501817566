//! Host-to-device copies. On a GPU they run on their own stream and overlap with the computation.

use anyhow::Result;
use regatta_torch_ext::{Event, HostBytes, Stream};
use tch::{Device, Kind, Tensor};

/// Maximum number of pending blocks.
const SLOTS: usize = 2;

/// Copies blocks of bytes to the device, where they are taken in the order in which they were begun.
pub(crate) struct Uploader {
    device: Device,
    /// Stream of the copies; none on a CPU, which needs no copy.
    stream: Option<Stream>,
    /// Used in turn.
    slots: [Option<Slot>; SLOTS],
    begun: usize,
    taken: usize,
}

struct Slot {
    host: HostBytes,
    /// None on a CPU.
    on_device: Option<Tensor>,
    /// Length of the current block in bytes.
    len: usize,
    /// Event on the copy stream after the copy of the block.
    copied: Option<Event>,
    /// Event on the compute stream after the last use of the device memory.
    free: Option<Event>,
}

impl Slot {
    fn new(len: usize, device: Device) -> Result<Self> {
        let on_gpu = device != Device::Cpu;
        let on_device = on_gpu.then(|| Tensor::empty([len as i64], (Kind::Uint8, device)));
        // The allocator may hand out memory that queued kernels still use.
        let free = on_gpu.then(|| Event::after(Stream::current(device)?, false)).transpose()?;
        Ok(Self { host: HostBytes::zeros(len, device)?, on_device, len: 0, copied: None, free })
    }
}

impl Uploader {
    pub(crate) fn new(device: Device) -> Result<Self> {
        let stream = match device {
            Device::Cpu => None,
            _ => Some(Stream::from_pool(device, false)?),
        };
        Ok(Self { device, stream, slots: [const { None }; SLOTS], begun: 0, taken: 0 })
    }

    /// Returns the number of blocks begun and not yet taken.
    pub(crate) fn pending(&self) -> usize {
        self.begun - self.taken
    }

    /// Calls `fill` to write `len` bytes of host memory and starts to copy them. The host waits for the device only if it is
    /// two blocks ahead.
    ///
    /// # Errors
    /// The error of `fill`, in which case nothing is pending; device errors.
    pub(crate) fn begin(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<()> {
        assert!(self.pending() < SLOTS, "a block is taken before the next but one is begun");
        let place = &mut self.slots[self.begun % SLOTS];
        if place.as_ref().is_none_or(|slot| slot.host.len() < len) {
            *place = Some(Slot::new(len, self.device)?);
        }
        let slot = place.as_mut().expect("it was made above");
        if let Some(copied) = slot.copied.take() {
            copied.synchronize()?;
        }
        slot.len = len;
        fill(&mut slot.host.as_mut_slice()[..len])?;
        if let (Some(stream), Some(on_device)) = (self.stream, &slot.on_device) {
            if let Some(free) = slot.free.take() {
                stream.wait(&free)?;
            }
            slot.host.copy_to(&mut on_device.narrow(0, 0, len as i64), stream)?;
            slot.copied = Some(Event::after(stream, false)?);
        }
        self.begun += 1;
        Ok(())
    }

    /// Returns the result of `make` on the oldest pending block, on the device. The result must not be a view of the bytes.
    ///
    /// # Errors
    /// Device errors.
    pub(crate) fn take<T>(&mut self, make: impl FnOnce(&Tensor) -> T) -> Result<T> {
        assert!(self.pending() > 0, "a block is begun before it is taken");
        let slot = self.slots[self.taken % SLOTS].as_mut().expect("a begun block has its slot");
        self.taken += 1;
        match (&slot.on_device, &slot.copied) {
            (Some(on_device), Some(copied)) => {
                let computing = Stream::current(self.device)?;
                computing.wait(copied)?;
                let made = make(&on_device.narrow(0, 0, slot.len as i64));
                slot.free = Some(Event::after(computing, false)?);
                Ok(made)
            }
            _ => Ok(make(&Tensor::from_slice(&slot.host.as_mut_slice()[..slot.len]))),
        }
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

    fn bytes(uploader: &mut Uploader) -> Vec<u8> {
        uploader.take(|bytes| Vec::<u8>::try_from(bytes).unwrap()).unwrap()
    }

    #[test]
    fn blocks_arrive_in_their_order_at_any_length() {
        let mut uploader = Uploader::new(Device::Cpu).unwrap();
        let begin = |uploader: &mut Uploader, value: u8, len| {
            let fill = |bytes: &mut [u8]| {
                bytes.fill(value);
                if value == 0 { anyhow::bail!("no block") } else { Ok(()) }
            };
            assert_eq!(uploader.begin(len, fill).is_ok(), value > 0);
        };
        begin(&mut uploader, 1, 3);
        for value in 2..6 {
            begin(&mut uploader, 0, 12);
            begin(&mut uploader, value, 10 - usize::from(value));
            let before = if value == 2 { 3 } else { 11 - usize::from(value) };
            assert_eq!(bytes(&mut uploader), vec![value - 1; before]);
        }
        assert_eq!(bytes(&mut uploader), vec![5; 5]);
        assert_eq!(uploader.pending(), 0);
    }
}
