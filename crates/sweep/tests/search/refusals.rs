//! Searches that are refused, with key, value and remedy.

use expect_test::{Expect, expect};
use regatta_sweep::{Method, Search, SearchError};

use super::nine_samples;

fn check(search: Search, expected: Expect) {
    expected.assert_eq(&search.validate().expect_err("a refusal").to_string());
}

#[test]
fn impossible_searches_are_refused() {
    let asha = nine_samples(Method::Asha);
    check(Search { samples: 0, ..asha }, expect!["samples is 0, must be at least 1"]);
    check(Search { reduction: 1, ..asha }, expect!["reduction is 1, must be at least 2"]);
    check(Search { min_epochs: 0, ..asha }, expect!["min_epochs is 0, must be at least 1"]);
    check(Search { max_epochs: 0, ..asha }, expect!["max_epochs is 0, must be at least 1"]);
    check(
        Search { min_epochs: 9, ..asha },
        expect![[
            r#"min_epochs is 9, must be below max_epochs (9), so that there is something to stop early; without, method = "random" trains every sample to the end"#
        ]],
    );
    check(
        Search { samples: 8, ..asha },
        expect![
            "samples is 8, must be at least 9, for one to reach max_epochs: the rungs are 1, 3 and 9 epochs, and 1 in 3 is promoted; a larger min_epochs has fewer rungs"
        ],
    );
    check(
        Search { max_epochs: 4, ..Search { samples: 5, ..asha } },
        expect![
            "samples is 5, must be at least 9, for one to reach max_epochs: the rungs are 1, 3 and 4 epochs, and 1 in 3 is promoted; a larger min_epochs has fewer rungs"
        ],
    );
    // 2^64 samples would be needed.
    let endless = Search { max_epochs: u64::MAX, reduction: 2, ..asha };
    assert!(matches!(endless.validate(), Err(SearchError::TooFewSamples { least: None, .. })));
    assert_eq!(asha.validate(), Ok(()));
    assert_eq!(Search { min_epochs: 20, samples: 1, method: Method::Random, ..asha }.validate(), Ok(()));
}
