//! Values under a tag: scalars, texts, images.

use crate::proto::{Form, Image, PluginData, SummaryMetadata, TensorProto, TensorShapeProto, Value};

/// Returns a number, which TensorBoard keeps in single precision.
pub fn scalar(tag: &str, number: f64) -> Value {
    value(tag, Form::Scalar(number as f32))
}

/// Returns a text in Markdown.
pub fn text(tag: &str, markdown: &str) -> Value {
    let tensor = TensorProto {
        dtype: TensorProto::STRING,
        tensor_shape: Some(TensorShapeProto::default()),
        string_val: vec![markdown.as_bytes().to_vec()],
    };
    Value { metadata: Some(metadata("text", Vec::new())), ..value(tag, Form::Tensor(tensor)) }
}

/// Returns an RGB image, the content of a PNG file of `width` and `height` pixels.
pub fn image(tag: &str, png: Vec<u8>, width: u32, height: u32) -> Value {
    let [width, height] = [width, height].map(|side| side as i32);
    value(tag, Form::Image(Image { height, width, colorspace: 3, encoded_image_string: png }))
}

pub(crate) fn value(tag: &str, form: Form) -> Value {
    Value { tag: tag.to_owned(), metadata: None, form: Some(form) }
}

/// Returns that a plugin shows the tag's tensors, with its message about the tag.
pub(crate) fn metadata(plugin: &str, content: Vec<u8>) -> SummaryMetadata {
    let plugin_data = Some(PluginData { plugin_name: plugin.to_owned(), content });
    SummaryMetadata { plugin_data, data_class: SummaryMetadata::TENSOR }
}
