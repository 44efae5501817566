//! Bytes on their way to the device: on a GPU over a stream of their own, beside the step that computes.

use anyhow::Result;
use regatta_torch_ext::{Event, HostBytes, Stream};
use tch::{Device, Kind, Tensor};

/// How many may be on their way at once.
const SLOTS: usize = 2;

/// Sends blocks of bytes to the device, which are taken there in the order in which they were begun.
pub(crate) struct Uploader {
    device: Device,
    /// Where copies are queued; none on a CPU, whose memory is the device's.
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
    /// Bytes of the block that was begun.
    len: usize,
    /// The point in the copy stream after the block.
    copied: Option<Event>,
    /// The point in the computing stream before which the memory on the device is in use.
    free: Option<Event>,
}

impl Slot {
    fn new(len: usize, device: Device) -> Result<Self> {
        let on_gpu = device != Device::Cpu;
        let on_device = on_gpu.then(|| Tensor::empty([len as i64], (Kind::Uint8, device)));
        // Whoever had that memory before may still compute.
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

    /// How many were begun and not taken yet.
    pub(crate) fn pending(&self) -> usize {
        self.begun - self.taken
    }

    /// Has `fill` write `len` bytes of host memory, and begins to copy them. The host waits for the device only where it is
    /// two blocks ahead of it.
    ///
    /// # Errors
    /// That of `fill`, as if there had been no call; those of the device.
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

    /// What `make` makes on the device of the block that was begun first; it must keep no view of the bytes.
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
    /// No copy may be under way into memory that is freed.
    fn drop(&mut self) {
        if let Some(stream) = self.stream {
            // A device that fails copies nothing more.
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
