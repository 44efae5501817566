//! The network's layers as nodes of a graph.
//!
//! A node and the value that it defines have the name of the layer, as in pycls: `s1.b1.f.a` is the first convolution of the
//! first block, BatchNorm included, and its constants are `s1.b1.f.a.weight` and `s1.b1.f.a.bias`.

use regatta_anynet::{Block, ConvNorm, Network, Part, Shortcut, SqueezeExcite};

use crate::fold::{Folded, fold};
use crate::proto::{AttributeProto, GraphProto, NodeProto, TensorProto};
use crate::{INPUT, OUTPUT, OnnxError, Tensors};

/// Returns the graph of `network` in evaluation mode, without types of inputs and outputs.
///
/// # Errors
/// Weights that are not finite.
///
/// # Panics
/// If a tensor is missing.
pub(crate) fn graph(network: &Network, tensors: &Tensors) -> Result<GraphProto, OnnxError> {
    let mut builder =
        Builder { tensors, graph: GraphProto { name: "regatta".into(), ..GraphProto::default() } };
    let mut value = INPUT.to_owned();
    for block in network.blocks() {
        value = builder.block(&block, value)?;
    }
    builder.head(value)?;
    Ok(builder.graph)
}

/// Collects nodes and constants. Each method returns the name of the value that its last node defines.
struct Builder<'a> {
    tensors: &'a Tensors,
    graph: GraphProto,
}

impl Builder<'_> {
    fn block(&mut self, block: &Block, input: String) -> Result<String, OnnxError> {
        let mut value = input.clone();
        for part in &block.path {
            value = self.part(part, value)?;
        }
        let shortcut = match &block.shortcut {
            Shortcut::None => return Ok(value),
            Shortcut::Identity => input,
            Shortcut::Projection(unit) => self.unit(unit, input)?,
        };
        let sum = self.node("Add", &format!("{}.add", block.name), [value, shortcut], []);
        Ok(self.node("Relu", &format!("{}.af", block.name), [sum], []))
    }

    fn part(&mut self, part: &Part, input: String) -> Result<String, OnnxError> {
        Ok(match part {
            Part::Conv(unit) => self.unit(unit, input)?,
            Part::SqueezeExcite(se) => self.squeeze_excite(se, input)?,
            Part::MaxPool { name } => {
                let attributes =
                    [ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2]), ints("pads", &[1, 1, 1, 1])];
                self.node("MaxPool", name, [input], attributes)
            }
            Part::Flatten { name } => {
                // 0 keeps the number of images, -1 stands for all values of an image.
                let shape = format!("{name}.shape");
                let bytes = [0_i64, -1, 1, 1].iter().flat_map(|side| side.to_le_bytes()).collect();
                self.constant(&shape, TensorProto::INT64, vec![4], bytes);
                self.node("Reshape", name, [input, shape], [])
            }
        })
    }

    /// Adds a convolution with its BatchNorm, and the ReLU if there is one.
    fn unit(&mut self, unit: &ConvNorm, input: String) -> Result<String, OnnxError> {
        let ConvNorm { name, kernel, stride, groups, .. } = unit;
        let Folded { weight, bias } = fold(unit, self.tensors);
        let value = self.conv(name, (&weight, &bias), [*kernel, *stride, *groups], input)?;
        Ok(match &unit.relu {
            Some(relu) => self.node("Relu", relu, [value], []),
            None => value,
        })
    }

    fn squeeze_excite(&mut self, se: &SqueezeExcite, input: String) -> Result<String, OnnxError> {
        let tensors = self.tensors;
        let values = |name: &str| &tensors[name].values[..];
        let [squeeze, excite] = se.convolutions();
        let named = |part: &str| format!("{}.{part}", se.name);
        let mut value = self.node("GlobalAveragePool", &named("avg_pool"), [input.clone()], []);
        for (conv, after, operator) in [(squeeze, "f_ex.1", "Relu"), (excite, "f_ex.3", "Sigmoid")] {
            let constants = (values(&format!("{conv}.weight")), values(&format!("{conv}.bias")));
            value = self.conv(&conv, constants, [1; 3], value)?;
            value = self.node(operator, &named(after), [value], []);
        }
        Ok(self.node("Mul", &named("scale"), [value, input], []))
    }

    /// Adds a convolution with "same" padding whose weight has the shape of the network's tensor.
    fn conv(
        &mut self,
        name: &str,
        (weight, bias): (&[f32], &[f32]),
        [kernel, stride, groups]: [i64; 3],
        input: String,
    ) -> Result<String, OnnxError> {
        let constants = self.constants(name, weight, bias)?;
        let attributes = [
            ints("kernel_shape", &[kernel; 2]),
            ints("strides", &[stride; 2]),
            ints("pads", &[kernel / 2; 4]),
            int("group", groups),
        ];
        Ok(self.node("Conv", name, [vec![input], constants].concat(), attributes))
    }

    /// Adds the mean over all pixels and the classifier.
    fn head(&mut self, input: String) -> Result<(), OnnxError> {
        let means = self.node("GlobalAveragePool", "head.avg_pool", [input], []);
        let features = self.node("Flatten", "head.flatten", [means], [int("axis", 1)]);
        let tensors = self.tensors;
        let (weight, bias) = (&tensors["head.fc.weight"].values, &tensors["head.fc.bias"].values);
        let constants = self.constants("head.fc", weight, bias)?;
        self.node("Gemm", "head.fc", [vec![features], constants].concat(), [int("transB", 1)]);
        let gemm = self.graph.node.last_mut().expect("a node was added");
        gemm.output = vec![OUTPUT.to_owned()];
        Ok(())
    }

    /// Adds weight and bias of a layer and returns their names.
    fn constants(&mut self, layer: &str, weight: &[f32], bias: &[f32]) -> Result<Vec<String>, OnnxError> {
        if !weight.iter().chain(bias).all(|value| value.is_finite()) {
            return Err(OnnxError::NotFinite { layer: layer.to_owned() });
        }
        let names = [format!("{layer}.weight"), format!("{layer}.bias")];
        let shapes = [self.tensors[&names[0]].shape.clone(), vec![bias.len() as i64]];
        for ((name, shape), values) in names.iter().zip(shapes).zip([weight, bias]) {
            let mut bytes = Vec::with_capacity(4 * values.len());
            values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
            self.constant(name, TensorProto::FLOAT, shape, bytes);
        }
        Ok(names.into())
    }

    fn constant(&mut self, name: &str, data_type: i32, dims: Vec<i64>, raw_data: Vec<u8>) {
        self.graph.initializer.push(TensorProto { name: name.to_owned(), data_type, dims, raw_data });
    }

    fn node(
        &mut self,
        operator: &str,
        name: &str,
        input: impl Into<Vec<String>>,
        attributes: impl Into<Vec<AttributeProto>>,
    ) -> String {
        self.graph.node.push(NodeProto {
            input: input.into(),
            output: vec![name.to_owned()],
            name: name.to_owned(),
            op_type: operator.to_owned(),
            attribute: attributes.into(),
        });
        name.to_owned()
    }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), i: Some(value), ints: Vec::new(), r#type: AttributeProto::INT }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { name: name.to_owned(), i: None, ints: values.to_vec(), r#type: AttributeProto::INTS }
}
