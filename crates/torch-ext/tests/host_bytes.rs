//! Memory is divided into chunks that threads fill, and comes back as a whole when all of them are gone.

use std::thread;

use regatta_torch_ext::HostBytes;
use tch::Device;

#[test]
fn chunks_are_written_by_other_threads_and_joined() {
    let mut bytes = HostBytes::zeros(11, Device::Cpu).unwrap();
    bytes.as_mut_slice().fill(9);
    let (split, chunks) = bytes.split(2, 3, 2);
    let fill = |(k, mut chunk): (usize, regatta_torch_ext::HostChunk)| {
        thread::spawn(move || {
            assert_eq!(chunk.as_mut(), [9; 3]);
            chunk.as_mut().fill(k as u8);
        })
    };
    let writers: Vec<_> = chunks.into_iter().enumerate().map(fill).collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let mut bytes = split.join().unwrap();
    assert_eq!(bytes.as_mut_slice(), [9, 9, 0, 0, 0, 1, 1, 1, 9, 9, 9]);
}

#[test]
fn memory_is_not_joined_before_the_last_chunk_is_dropped() {
    let (split, mut chunks) = HostBytes::zeros(4, Device::Cpu).unwrap().split(0, 2, 2);
    drop(chunks.pop());
    let split = split.join().unwrap_err();
    chunks[0].as_mut()[1] = 7;
    drop(chunks);
    assert_eq!(split.join().unwrap().as_mut_slice(), [0, 7, 0, 0]);
}

#[test]
fn a_chunk_outlives_the_rest() {
    let (split, mut chunks) = HostBytes::zeros(4, Device::Cpu).unwrap().split(0, 4, 1);
    drop(split);
    let mut last = chunks.remove(0);
    last.as_mut().fill(1);
    assert_eq!(last.as_mut(), [1; 4]);
}

#[test]
fn empty_chunks_and_no_chunks_are_possible() {
    let (split, chunks) = HostBytes::zeros(0, Device::Cpu).unwrap().split(0, 0, 2);
    for mut chunk in chunks {
        assert!(chunk.as_mut().is_empty());
    }
    let (split, chunks) = split.join().unwrap().split(0, 5, 0);
    assert!(chunks.is_empty() && split.join().unwrap().is_empty());
}

#[test]
#[should_panic(expected = "chunks within the bytes")]
fn chunks_beyond_the_bytes_are_refused() {
    _ = HostBytes::zeros(8, Device::Cpu).unwrap().split(1, 4, 2);
}
