//! The table of noise is standard normal and always the same, and a draw's numbers are exact.

use regatta_data::{DeviceDraw, NOISE_LEN, Rectangle, noise_table};

#[test]
fn the_table_is_standard_normal_and_fixed() {
    let table = noise_table();
    assert_eq!(table.len(), NOISE_LEN);
    let count = NOISE_LEN as f64;
    let moment = |power| table.iter().map(|&value| f64::from(value).powi(power)).sum::<f64>() / count;
    let moments = [1, 2, 3, 4].map(moment);
    // Five standard errors of each moment's mean over 2^20 numbers.
    for ((found, expected), tolerance) in
        moments.into_iter().zip([0.0, 1.0, 0.0, 3.0]).zip([0.005, 0.007, 0.019, 0.048])
    {
        assert!((found - expected).abs() < tolerance, "{moments:?}");
    }
    assert_eq!(noise_table()[..100], table[..100]);
}

#[test]
fn a_draw_is_eight_numbers() {
    assert_eq!(DeviceDraw::default().record(), [0.0; 8]);
    let erased = Rectangle { left: 1, top: 2, width: 3, height: 4 };
    let draw = DeviceDraw { lighting: [0.5, -0.25, 0.125], erased, noise_offset: NOISE_LEN as u32 - 1 };
    assert_eq!(draw.record(), [0.5, -0.25, 0.125, 1.0, 2.0, 3.0, 4.0, 1_048_575.0]);
}
