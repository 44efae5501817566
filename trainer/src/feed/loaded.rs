//! Micro-batches on their way from the loader's threads to the device.

use std::collections::{HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use regatta_data::{
    BadImage, BatchRequest, Loader, LoaderSettings, Split, block_bytes, header_bytes, write_header,
};
use regatta_settings::Recipe;
use regatta_torch_ext::{HostBytes, HostChunk, SplitHostBytes};
use tch::{Device, Tensor};

use super::prepared::{Prepared, Splits};
use super::{Purpose, Segment};
use crate::datasets::Datasets;
use crate::upload::Uploader;

/// Segments, opened one after the other.
pub(super) type Segments = Box<dyn Iterator<Item = Result<Segment>>>;

/// The loader, the uploader, and the micro-batches in them. Segments are numbered from 1 in the order in which they are opened;
/// the last opened one is the one that micro-batches are requested of.
pub(super) struct Loaded {
    loader: Loader<HostChunk>,
    prefetch_batches: usize,
    splits: Splits,
    /// Segments that are not yet opened.
    segments: std::iter::Fuse<Segments>,
    /// The last opened segment, and its images.
    requesting: Option<(Segment, Rc<Prepared>)>,
    /// Purposes and epochs of the segments that are opened and not begun, in order.
    ahead: VecDeque<(Purpose, u64)>,
    /// Number of the segment that was begun last.
    current: usize,
    /// The micro-batches in the loader, in order.
    requests: VecDeque<Request>,
    uploader: Uploader,
    /// The micro-batch in the uploader.
    upload: Option<Upload>,
    /// Why the micro-batch after all these, of the segment with this number, cannot be delivered.
    failure: Option<(usize, anyhow::Error)>,
    /// Bad images that are in the log: whether they are training images, and their indices.
    reported: HashSet<(bool, usize)>,
}

/// A micro-batch in the loader.
struct Request {
    /// Number of its segment.
    segment: usize,
    prepared: Rc<Prepared>,
    images: usize,
    /// Length of its block in bytes.
    len: usize,
    block: SplitHostBytes,
}

/// A micro-batch in the uploader.
struct Upload {
    /// Number of its segment.
    segment: usize,
    prepared: Rc<Prepared>,
    images: usize,
    replaced: u64,
}

/// A micro-batch on the device.
pub(super) struct Taken {
    pub(super) images_nchw: Tensor,
    pub(super) labels: Tensor,
    /// Number of its images that were replaced.
    pub(super) replaced: u64,
}

impl Loaded {
    pub(super) fn new(
        recipe: &Recipe,
        datasets: &Datasets,
        settings: LoaderSettings,
        device: Device,
        segments: Segments,
    ) -> Result<Self> {
        Ok(Self {
            loader: Loader::new(settings).context("cannot start the loader's threads")?,
            prefetch_batches: settings.prefetch_batches.max(1),
            splits: Splits::new(recipe, datasets, device),
            segments: segments.fuse(),
            requesting: None,
            ahead: VecDeque::new(),
            current: 0,
            requests: VecDeque::new(),
            uploader: Uploader::new(device)?,
            upload: None,
            failure: None,
            reported: HashSet::new(),
        })
    }

    /// Moves to the next segment of this purpose and epoch, and drops what is left of earlier ones.
    pub(super) fn begin(&mut self, purpose: Purpose, epoch: u64) -> Result<()> {
        loop {
            if self.ahead.is_empty() && !self.open_next()? {
                return Err(anyhow!("no segment of images for {purpose:?} in epoch {epoch} is left"));
            }
            self.current += 1;
            if self.ahead.pop_front() == Some((purpose, epoch)) {
                break;
            }
        }
        self.discard_earlier();
        Ok(())
    }

    /// Requests micro-batches ahead, and begins the copy of the next one if it is loaded.
    pub(super) fn prefetch(&mut self) {
        self.request_ahead();
        if self.upload.is_none() && self.loader.is_ready() {
            self.upload_next();
        }
    }

    /// Waits until the next micro-batch of the current segment is loaded and begins its copy.
    pub(super) fn wait(&mut self) {
        self.request_ahead();
        let is_due = self.requests.front().is_some_and(|request| request.segment == self.current);
        if self.upload.is_none() && is_due {
            self.upload_next();
        }
    }

    /// Returns the next micro-batch of the current segment, whose copy has begun; `None` after the last.
    pub(super) fn take(&mut self) -> Result<Option<Taken>> {
        let current = self.current;
        let Some(upload) = self.upload.take_if(|upload| upload.segment == current) else {
            let failure = self.failure.take_if(|(segment, _)| *segment <= current);
            return failure.map_or(Ok(None), |(_, error)| Err(error));
        };
        let Upload { prepared, images, replaced, .. } = upload;
        let made = self.uploader.take(|block| prepared.preparation.apply(block, images));
        made.map(|(images_nchw, labels)| Some(Taken { images_nchw, labels, replaced }))
    }

    /// Returns the number of the last opened segment.
    fn last_opened(&self) -> usize {
        self.current + self.ahead.len()
    }

    fn request_ahead(&mut self) {
        while self.requests.len() < self.prefetch_batches && self.failure.is_none() {
            let next = self.requesting.as_mut().and_then(|(segment, _)| segment.micro_batches.next());
            let (segment, outcome) = match next {
                Some(indices) => (self.last_opened(), self.request(indices).map(|()| true)),
                None => (self.last_opened() + 1, self.open_next()),
            };
            match outcome {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => self.failure = Some((segment, error)),
            }
        }
    }

    /// Opens the next segment; returns whether there is one.
    fn open_next(&mut self) -> Result<bool> {
        if let Some((_, error)) = self.failure.take() {
            return Err(error);
        }
        let Some(segment) = self.segments.next().transpose()? else { return Ok(false) };
        self.ahead.push_back((segment.purpose, segment.epoch));
        let prepared = self.splits.of(segment.purpose.split(), segment.epoch);
        self.requesting = Some((segment, prepared));
        Ok(true)
    }

    /// Hands a micro-batch of the last opened segment to the loader.
    fn request(&mut self, indices: Vec<usize>) -> Result<()> {
        let Some((Segment { epoch, .. }, prepared)) = &self.requesting else { return Ok(()) };
        let (epoch, prepared) = (*epoch, Rc::clone(prepared));
        let (shape, images) = (prepared.images.shape(), indices.len());
        let len = block_bytes(images, shape);
        let block = self.uploader.host_block(len)?;
        let (block, chunks) = block.split(header_bytes(images), shape.bytes(), images);
        self.loader.submit(BatchRequest { images: Arc::clone(&prepared.images), epoch, indices, chunks });
        self.requests.push_back(Request { segment: self.last_opened(), prepared, images, len, block });
        Ok(())
    }

    /// Waits for the oldest requested micro-batch and begins its copy; none may be in the uploader. If it failed, those after it are dropped.
    fn upload_next(&mut self) {
        let Some(request) = self.requests.pop_front() else { return };
        let segment = request.segment;
        if let Err(error) = self.begin_upload(request) {
            self.loader.discard(self.requests.len());
            self.requests.clear();
            self.failure = Some((segment, error));
        }
    }

    fn begin_upload(&mut self, request: Request) -> Result<()> {
        let Request { segment, prepared, images, len, block } = request;
        let loaded = self.loader.next_batch()?.context("the loader has lost a micro-batch")?;
        self.report(&loaded.bad);
        drop(loaded.chunks);
        let mut block = joined(block)?;
        write_header(block.as_mut_slice(), &loaded.labelled);
        self.uploader.begin(block, len)?;
        self.upload = Some(Upload { segment, prepared, images, replaced: loaded.replaced });
        Ok(())
    }

    /// Logs each bad image once.
    fn report(&mut self, bad: &[BadImage]) {
        for BadImage { split, index, error } in bad {
            if self.reported.insert((*split == Split::Train, *index)) {
                tracing::warn!("{}; another image takes its place", error.with_causes());
            }
        }
    }

    /// Drops the micro-batches of segments before the current one.
    fn discard_earlier(&mut self) {
        let current = self.current;
        if self.upload.take_if(|upload| upload.segment < current).is_some() {
            self.uploader.discard();
        }
        let count = self.requests.iter().take_while(|request| request.segment < current).count();
        self.loader.discard(count);
        for Request { block, .. } in self.requests.drain(..count) {
            if let Ok(block) = block.join() {
                self.uploader.give_back(block);
            }
        }
    }
}

fn joined(block: SplitHostBytes) -> Result<HostBytes> {
    block.join().map_err(|_| anyhow!("a part of a loaded micro-batch is still in use"))
}
