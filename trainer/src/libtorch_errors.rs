//! Turns libtorch's exceptions into readable messages: without C++ frames and the binding's `unwrap`, and with a remedy if known.

use std::sync::OnceLock;

/// Estimate of this run's memory. A global, because the panic hook needs it too.
static ESTIMATE: OnceLock<String> = OnceLock::new();

/// Marks a libtorch exception in the binding's panics, where it is in Rust's debug format.
const IN_PANICS: &str = ": Torch(\"";
/// Prefixes that the binding and `regatta-torch-ext` add to libtorch's message.
const BEFORE: [&str; 2] = ["libtorch: ", "Internal torch error: "];
/// Messages of libtorch and the C++ library when memory is exhausted.
const OUT_OF_MEMORY: [&str; 4] =
    ["DefaultCPUAllocator: ", "CUDA out of memory", "CUDA error: out of memory", "std::bad_alloc"];
/// Start of the details that CUDA's allocator appends: its statistics and settings.
const CUDA_DETAILS: [&str; 2] = [" Including non-PyTorch memory", " Of the allocated memory"];

/// Keeps the estimate of the run's memory, which out-of-memory errors then state.
pub(crate) fn keep_memory_estimate(estimate: String) {
    _ = ESTIMATE.set(estimate);
}

/// Returns a readable message for a panic that a libtorch exception caused; `None` for any other panic.
pub(crate) fn of_panic(panic: &str) -> Option<String> {
    let (_, thrown) = panic.split_once(IN_PANICS)?;
    Some(sentence(&unescaped(thrown)))
}

/// Returns a readable message for an error that a libtorch exception caused; any other text unchanged.
pub(crate) fn of_error(error: String) -> String {
    match BEFORE.iter().find_map(|before| error.strip_prefix(before)) {
        Some(thrown) => sentence(thrown),
        None => error,
    }
}

fn sentence(thrown: &str) -> String {
    let line = thrown.lines().next().unwrap_or_default().trim_end_matches(['.', ' ']);
    let Some(start) = OUT_OF_MEMORY.iter().find_map(|text| line.find(text)) else {
        return format!("libtorch failed: {line}");
    };
    let line = &line[start..];
    let end = CUDA_DETAILS.iter().filter_map(|text| line.find(text)).min().unwrap_or(line.len());
    let line = line[..end].trim_end_matches('.');
    let estimate = ESTIMATE.get().map_or(
        "`trainer summary --config RECIPE` estimates what weights and activations take",
        String::as_str,
    );
    format!("out of memory ({line}): lower train.micro_batch_size; {estimate}")
}

/// Undoes Rust's debug format: returns the text of `quoted` up to its closing quotation mark.
fn unescaped(quoted: &str) -> String {
    let mut characters = quoted.chars();
    let mut text = String::new();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => match characters.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                other => text.extend(other),
            },
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use tch::TchError;

    use super::*;

    const CPU: &str = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to \
                       allocate 17179869184 bytes. Error code 12 (Cannot allocate memory)\n\nException raised from \
                       alloc_cpu at alloc_cpu.cpp:127 (most recent call first):\nframe #0: c10::Error::Error() + 0x9d";
    const CUDA: &str = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.19 GiB of which 1.25 \
                        GiB is free. Including non-PyTorch memory, this process has 77.93 GiB memory in use. Of the \
                        allocated memory 76.51 GiB is allocated by PyTorch, and 0.91 GiB is reserved by PyTorch but \
                        unallocated. If reserved but unallocated memory is large try setting \
                        PYTORCH_ALLOC_CONF=expandable_segments:True\nException raised from malloc";
    const DRIVER: &str = "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported";
    const OTHER: &str = "Given weight of size [8, 8, 1, 1], expected input[1, 3, 4, 4] to have 8 channels, \"NCHW\"\nException \
                         raised from check_shape_forward";

    #[test]
    fn texts_of_libtorch_become_sentences() {
        let mut table = String::new();
        for thrown in [CPU, CUDA, DRIVER, "std::bad_alloc", OTHER] {
            // A panic of the binding, and the errors of the binding and the shim.
            let error = TchError::Torch(thrown.to_owned());
            let panic =
                format!("panicked at x.rs:1:2:\ncalled `Result::unwrap()` on an `Err` value: {error:?}");
            let said = of_panic(&panic).unwrap();
            assert_eq!(of_error(error.to_string()), said);
            assert_eq!(of_error(format!("libtorch: {thrown}")), said);
            table += &format!("{said}\n");
        }
        expect![[r#"
            out of memory (DefaultCPUAllocator: can't allocate memory: you tried to allocate 17179869184 bytes. Error code 12 (Cannot allocate memory)): lower train.micro_batch_size; `trainer summary --config RECIPE` estimates what weights and activations take
            out of memory (CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.19 GiB of which 1.25 GiB is free): lower train.micro_batch_size; `trainer summary --config RECIPE` estimates what weights and activations take
            out of memory (CUDA error: out of memory): lower train.micro_batch_size; `trainer summary --config RECIPE` estimates what weights and activations take
            out of memory (std::bad_alloc): lower train.micro_batch_size; `trainer summary --config RECIPE` estimates what weights and activations take
            libtorch failed: Given weight of size [8, 8, 1, 1], expected input[1, 3, 4, 4] to have 8 channels, "NCHW"
        "#]]
        .assert_eq(&table);
    }

    #[test]
    fn other_texts_stay() {
        assert_eq!(of_panic("panicked at x.rs:1:2:\nindex out of bounds"), None);
        let shape = TchError::Shape("[1]".into());
        assert_eq!(of_panic(&format!("called `Result::unwrap()` on an `Err` value: {shape:?}")), None);
        assert_eq!(of_error("cannot write x: disk full".into()), "cannot write x: disk full");
    }
}
