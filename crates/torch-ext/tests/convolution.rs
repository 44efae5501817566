//! Tests which of libtorch's convolutions write out of bounds, and that ours never do: the backward pass runs in a separate
//! process under the heap guard. A newer libtorch must stay in bounds wherever [`overruns`] is false; once it also does so where
//! [`overruns`] is true, the workaround can be removed.

use std::process::Command;

use heap_guard::HeapGuard;
use regatta_torch_ext::{AutocastKind, autocast, conv2d, overruns, to_channels_last};
use tch::{Device, Kind, Tensor};

/// Environment variable that makes a new process of this test run the cases in a file.
const CASES: &str = "REGATTA_GUARDED_CASES";

/// One convolution and its backward.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Case {
    channels: i64,
    outputs: i64,
    images: i64,
    height: i64,
    width: i64,
    kernel: i64,
    stride: i64,
    threads: i64,
    bf16: bool,
}

/// The result of a case.
#[derive(Debug)]
struct Outcome {
    case: Case,
    /// The result of [`overruns`].
    predicted: bool,
    /// Pages out of bounds that libtorch's own convolution touched; `None` if it was not run.
    of_libtorch: Option<i64>,
    /// Pages out of bounds that our convolution touched.
    of_ours: i64,
    /// Largest relative difference of output and gradients from float64.
    difference: f64,
}

/// The instruction sets that oneDNN may use.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Isa {
    Avx2,
    Avx512,
    /// Everything that this processor supports, such as AMX or AVX512-FP16.
    All,
}

impl Isa {
    /// Returns the instruction sets of this machine.
    fn here() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(is_x86_feature_detected!("avx2").then_some(Self::Avx2));
            all.extend(is_x86_feature_detected!("avx512bw").then_some(Self::Avx512));
            all.extend((!all.is_empty()).then_some(Self::All));
        }
        all
    }

    fn of(name: &str) -> Self {
        [Self::Avx2, Self::Avx512, Self::All].into_iter().find(|isa| isa.cap() == name).unwrap()
    }

    /// Returns the value of `ONEDNN_MAX_CPU_ISA` that limits oneDNN to this instruction set.
    fn cap(self) -> &'static str {
        match self {
            Self::Avx2 => "AVX2",
            Self::Avx512 => "AVX512_CORE_BF16",
            Self::All => "ALL",
        }
    }

    fn has_avx512(self) -> bool {
        match self {
            Self::Avx2 => false,
            Self::Avx512 => true,
            Self::All => Self::here().contains(&Self::Avx512),
        }
    }

    /// Returns the number of channels that a kernel processes at a time; convolutions with fewer channels overrun.
    fn block(self) -> i64 {
        if self.has_avx512() { 16 } else { 8 }
    }
}

impl Case {
    const PLAIN: Self = Self {
        channels: 8,
        outputs: 8,
        images: 5,
        height: 14,
        width: 14,
        kernel: 1,
        stride: 2,
        threads: 2,
        bf16: false,
    };

    fn numbers(self) -> [i64; 9] {
        let Self { channels, outputs, images, height, width, kernel, stride, threads, bf16 } = self;
        [channels, outputs, images, height, width, kernel, stride, threads, i64::from(bf16)]
    }

    fn of(numbers: &[i64]) -> Self {
        let [channels, outputs, images, height, width, kernel, stride, threads, bf16] = numbers[..9] else {
            unreachable!("nine numbers")
        };
        Self { channels, outputs, images, height, width, kernel, stride, threads, bf16: bf16 == 1 }
    }

    /// Returns the output and the gradients of input, weight and bias, computed with `convolve`.
    fn run(self, kind: Kind, convolve: &dyn Fn(&Tensor, &Tensor, &Tensor) -> Tensor) -> [Tensor; 4] {
        tch::manual_seed(1);
        let random = |shape: [i64; 4]| Tensor::randn(shape, (Kind::Float, Device::Cpu)).to_kind(kind);
        let input = random([self.images, self.channels, self.height, self.width]);
        let input = to_channels_last(&input).set_requires_grad(true);
        let weight = random([self.outputs, self.channels, self.kernel, self.kernel]);
        let weight = to_channels_last(&weight).set_requires_grad(true);
        let bias = Tensor::zeros([self.outputs], (kind, Device::Cpu)).set_requires_grad(true);
        let as_asked = self.bf16.then_some(AutocastKind::Bf16).filter(|_| kind == Kind::Float);
        let output = autocast(Device::Cpu, as_asked, || convolve(&input, &weight, &bias)).unwrap();
        let factors = random(output.size().try_into().unwrap());
        (output.to_kind(kind) * factors).sum(kind).backward();
        [output.detach(), input.grad(), weight.grad(), bias.grad()]
    }

    /// Runs both convolutions. libtorch's own is skipped where an overrun may hang, as with AVX2.
    fn measure(self, isa: Isa) -> Outcome {
        tch::set_num_threads(self.threads as i32);
        let Self { stride, kernel, .. } = self;
        let padding = kernel / 2;
        let own = |input: &Tensor, weight: &Tensor, bias: &Tensor| {
            input.conv2d(weight, Some(bias), [stride, stride], [padding, padding], [1, 1], 1)
        };
        let ours = |input: &Tensor, weight: &Tensor, bias: &Tensor| {
            conv2d(input, weight, Some(bias), stride, padding, 1)
        };
        // libtorch computes in float64 without oneDNN.
        let exact = self.run(Kind::Double, &own);
        let zeros = |shape: [i64; 4]| to_channels_last(&Tensor::zeros(shape, (Kind::Float, Device::Cpu)));
        let (input, weight) =
            ([1, self.channels, self.height, self.width], [1, self.channels, kernel, kernel]);
        let predicted = overruns(&zeros(input), &zeros(weight), stride);
        let before = touched();
        let result = self.run(Kind::Float, &ours);
        let of_ours = touched() - before;
        let may_hang = predicted && !isa.has_avx512() && self.channels < isa.block();
        let of_libtorch = (!may_hang).then(|| {
            let before = touched();
            _ = self.run(Kind::Float, &own);
            touched() - before
        });
        let difference = result.iter().zip(&exact).map(|(ours, exact)| relative_difference(ours, exact));
        Outcome { case: self, predicted, of_libtorch, of_ours, difference: difference.fold(0.0, f64::max) }
    }
}

fn relative_difference(ours: &Tensor, exact: &Tensor) -> f64 {
    let norm = |tensor: &Tensor| tensor.norm().double_value(&[]);
    norm(&(ours.to_kind(Kind::Double) - exact)) / norm(exact).max(1e-30)
}

/// Returns the number of pages that the guard has counted in this process.
fn touched() -> i64 {
    // SAFETY: only looks the symbol up.
    let count = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"heap_guard_overruns".as_ptr()) };
    assert!(!count.is_null(), "the guard is preloaded");
    // SAFETY: the guard's counter is a long.
    unsafe { count.cast::<libc::c_long>().read_volatile() }
}

/// Number of cases per process: each allocates about 800 blocks, and the guard has addresses for four million.
const PER_PROCESS: usize = 1000;

/// Runs the cases under the guard.
fn run_guarded(isa: Isa, cases: &[Case]) -> Vec<Outcome> {
    cases.chunks(PER_PROCESS).flat_map(|cases| run_process(isa, cases)).collect()
}

/// Runs the cases in one process, through the test [`cases_under_the_guard`].
fn run_process(isa: Isa, cases: &[Case]) -> Vec<Outcome> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cases");
    let line = |case: &Case| case.numbers().map(|number| number.to_string()).join(" ") + "\n";
    std::fs::write(&file, cases.iter().map(line).collect::<String>()).unwrap();
    let guard = HeapGuard::build();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "convolution::cases_under_the_guard", "--nocapture"])
        .env(CASES, format!("{} {}", isa.cap(), file.display()))
        .env("LD_PRELOAD", guard.path())
        .env("ONEDNN_MAX_CPU_ISA", isa.cap())
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    let results: Vec<Vec<f64>> = output
        .lines()
        .filter_map(|line| line.strip_prefix("outcome "))
        .map(|line| line.split(' ').map(|number| number.parse().unwrap()).collect())
        .collect();
    let at = cases.get(results.len());
    let (status, stderr) = (child.status, String::from_utf8_lossy(&child.stderr));
    assert!(status.success() && at.is_none(), "{isa:?} ends with {status} at {at:?}\n{stderr}");
    let to_outcome = |(case, result): (&Case, Vec<f64>)| Outcome {
        case: *case,
        predicted: result[0] == 1.0,
        of_libtorch: (result[1] >= 0.0).then_some(result[1] as i64),
        of_ours: result[2] as i64,
        difference: result[3],
    };
    cases.iter().zip(results).map(to_outcome).collect()
}

#[test]
fn cases_under_the_guard() {
    let Ok(value) = std::env::var(CASES) else { return };
    let (isa, file) = value.split_once(' ').unwrap();
    let isa = Isa::of(isa);
    println!();
    for line in std::fs::read_to_string(file).unwrap().lines() {
        let numbers: Vec<_> = line.split(' ').map(|number| number.parse().unwrap()).collect();
        let Outcome { predicted, of_libtorch, of_ours, difference, .. } = Case::of(&numbers).measure(isa);
        println!("outcome {} {} {of_ours} {difference:e}", i64::from(predicted), of_libtorch.unwrap_or(-1));
    }
}

/// Runs the cases and checks what must hold for all of them. Returns those in which libtorch's own convolution overran.
fn check(isa: Isa, cases: &[Case]) -> Vec<Case> {
    let outcomes = run_guarded(isa, cases);
    for Outcome { case, predicted, of_libtorch, of_ours, difference } in &outcomes {
        assert_eq!(*of_ours, 0, "{isa:?}: {case:?} overruns");
        let is_exact = *difference < if case.bf16 { 2e-2 } else { 1e-5 };
        assert!(is_exact, "{isa:?}: {case:?} is off by {difference:e}");
        let is_expected = *predicted && case.channels < isa.block();
        assert!(
            is_expected || of_libtorch.is_none_or(|pages| pages == 0),
            "{isa:?}: {case:?} overruns in libtorch"
        );
    }
    let overran = outcomes.into_iter().filter(|outcome| outcome.of_libtorch.is_some_and(|pages| pages > 0));
    overran.map(|outcome| outcome.case).collect()
}

/// Covers the first recipes that crashed: odd micro-batches of small images, and large images.
#[test]
fn strided_convolutions_of_few_channels_overrun_in_libtorch_but_not_here() {
    const FIXED: &str = "libtorch no longer overruns: the workaround in convolution.rs can be removed";
    let here = Isa::here();
    if here.is_empty() {
        println!("skipped: neither AVX2 nor AVX-512");
    }
    for isa in here {
        let odd = Case { channels: isa.block() - 4, ..Case::PLAIN };
        let large = Case { images: 4, height: 112, width: 112, ..odd };
        let bf16 = Case { bf16: true, ..odd };
        let whole = Case { channels: isa.block(), ..Case::PLAIN };
        let unit_stride = Case { stride: 1, ..odd };
        let odd_side = Case { height: 15, width: 15, ..odd };
        let of_three = Case { kernel: 3, ..odd };
        let alone = Case { threads: 1, ..large };
        let by_four = Case { stride: 4, height: 112, width: 56, ..odd };
        let cases = [odd, large, bf16, whole, unit_stride, odd_side, of_three, alone, by_four];
        let overran = check(isa, &cases);
        if isa.has_avx512() {
            for case in [odd, large, alone] {
                assert!(overran.contains(&case), "{case:?}: {FIXED}");
            }
        }
    }
}

/// The full sweep, which takes half an hour on two cores.
#[test]
fn torture_sweep_of_strided_convolutions() {
    if std::env::var_os("REGATTA_TORTURE").is_none() {
        println!("skipped: REGATTA_TORTURE is not set");
        return;
    }
    for isa in Isa::here() {
        let all = [(2, false), (2, true), (1, false), (3, false), (4, false)];
        // On most processors these are the same kernels again.
        let some = if isa == Isa::All { &all[..2] } else { &all };
        for &(threads, bf16) in some {
            let cases = sweep(threads, bf16);
            let overran = check(isa, &cases);
            println!(
                "{isa:?}, {threads} threads, bf16 {bf16}: {} of {} overrun in libtorch",
                overran.len(),
                cases.len()
            );
        }
    }
}

fn sweep(threads: i64, bf16: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for channels in (1..=17).chain([20, 24, 32, 40]) {
        for outputs in [8, 40] {
            for images in [1, 2, 4, 5, 15] {
                for (height, width) in [(14, 14), (15, 15), (28, 14), (56, 56), (112, 112)] {
                    // Skips large cases, which add nothing and are slow in float64.
                    if images * height * width > 30_000 {
                        continue;
                    }
                    for (kernel, stride) in [(1, 1), (1, 2), (1, 3), (1, 4), (3, 2)] {
                        let dense = Case { channels, outputs, images, height, width, ..Case::PLAIN };
                        cases.push(Case { kernel, stride, threads, bf16, ..dense });
                    }
                }
            }
        }
    }
    cases
}
