//! The initial values of the parameters.

use regatta_anynet::{Init, Parameter, Role};
use tch::{Kind, Tensor};

/// Fills `views`, one for each of `parameters`, with random values from `seed`. The values do not depend on device, memory
/// format or element type.
pub fn initialize(parameters: &[Parameter], views: &mut [Tensor], init: Init, seed: i64) {
    tch::no_grad(|| {
        tch::manual_seed(seed);
        for (parameter, view) in parameters.iter().zip(views) {
            view.copy_(&initial(parameter, init));
        }
    });
}

fn initial(parameter: &Parameter, init: Init) -> Tensor {
    let mut values = Tensor::zeros(&parameter.shape, (Kind::Float, tch::Device::Cpu));
    match (init, parameter.role) {
        (_, Role::NormWeight) => values.fill_(1.0),
        (_, Role::NormBias) => values,
        (Init::HeFanOut, Role::ConvWeight) => {
            let fan_out = parameter.shape[0] * parameter.shape[2] * parameter.shape[3];
            values.normal_(0.0, (2.0 / fan_out as f64).sqrt())
        }
        (Init::HeFanOut, Role::LinearWeight) => values.normal_(0.0, 0.01),
        (Init::HeFanOut, Role::LinearBias { .. }) => values,
        (Init::XavierUniform, Role::ConvWeight | Role::LinearWeight) => {
            let field: i64 = parameter.shape[2..].iter().product();
            let fans = (parameter.shape[0] + parameter.shape[1]) * field;
            let bound = (6.0 / fans as f64).sqrt();
            values.uniform_(-bound, bound)
        }
        (_, Role::ConvBias { fan_in }) | (Init::XavierUniform, Role::LinearBias { fan_in }) => {
            let bound = 1.0 / (fan_in as f64).sqrt();
            values.uniform_(-bound, bound)
        }
    }
}
