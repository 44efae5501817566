//! The messages of an event file, as far as a run needs them: fields and their numbers are those of event.proto, summary.proto,
//! histogram.proto, tensor.proto and tensor_shape.proto
//! (<https://github.com/tensorflow/tensorboard/tree/2.21.0/tensorboard/compat/proto>), and of the plugin of hyper-parameters,
//! plugin_data.proto and api.proto (<https://github.com/tensorflow/tensorboard/tree/2.21.0/tensorboard/plugins/hparams>).

use std::collections::BTreeMap;

use prost::{Message, Oneof};

/// A record of an event file.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    /// The step that it belongs to.
    #[prost(int64, tag = "2")]
    pub step: i64,
    /// What happened.
    #[prost(oneof = "What", tags = "3, 5, 7")]
    pub what: Option<What>,
}

/// The content of an event.
#[derive(Clone, PartialEq, Oneof)]
pub enum What {
    /// Version of the format, in a file's first event.
    #[prost(string, tag = "3")]
    FileVersion(String),
    /// Values at the event's step.
    #[prost(message, tag = "5")]
    Summary(Summary),
    /// Beginning of an attempt.
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

/// Beginning of an attempt: a reader drops earlier files' events from its step on.
#[derive(Clone, PartialEq, Message)]
pub struct SessionLog {
    /// [`SessionLog::START`].
    #[prost(int32, tag = "1")]
    pub status: i32,
}

impl SessionLog {
    /// `SessionLog.SessionStatus.START`.
    pub const START: i32 = 1;
}

/// Values at one step.
#[derive(Clone, PartialEq, Message)]
pub struct Summary {
    /// The values.
    #[prost(message, repeated, tag = "1")]
    pub value: Vec<Value>,
}

/// A value under a tag.
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    /// Its tag; the part before the first slash names its group.
    #[prost(string, tag = "1")]
    pub tag: String,
    /// How it is shown; none for the three forms that need no plugin's name.
    #[prost(message, optional, tag = "9")]
    pub metadata: Option<SummaryMetadata>,
    /// The value.
    #[prost(oneof = "Form", tags = "2, 4, 5, 8")]
    pub form: Option<Form>,
}

/// The form of a value.
#[derive(Clone, PartialEq, Oneof)]
pub enum Form {
    /// A scalar.
    #[prost(float, tag = "2")]
    Scalar(f32),
    /// An image.
    #[prost(message, tag = "4")]
    Image(Image),
    /// A histogram.
    #[prost(message, tag = "5")]
    Histogram(HistogramProto),
    /// A tensor, for a plugin.
    #[prost(message, tag = "8")]
    Tensor(TensorProto),
}

/// An image, encoded.
#[derive(Clone, PartialEq, Message)]
pub struct Image {
    /// Height in pixels.
    #[prost(int32, tag = "1")]
    pub height: i32,
    /// Width in pixels.
    #[prost(int32, tag = "2")]
    pub width: i32,
    /// Number of channels: 3 for RGB.
    #[prost(int32, tag = "3")]
    pub colorspace: i32,
    /// The content of a PNG file.
    #[prost(bytes = "vec", tag = "4")]
    pub encoded_image_string: Vec<u8>,
}

/// How often values occur.
#[derive(Clone, PartialEq, Message)]
pub struct HistogramProto {
    /// The smallest value.
    #[prost(double, tag = "1")]
    pub min: f64,
    /// The largest value.
    #[prost(double, tag = "2")]
    pub max: f64,
    /// Number of values.
    #[prost(double, tag = "3")]
    pub num: f64,
    /// Sum of the values.
    #[prost(double, tag = "4")]
    pub sum: f64,
    /// Sum of their squares.
    #[prost(double, tag = "5")]
    pub sum_squares: f64,
    /// Upper edge of each bucket.
    #[prost(double, repeated, tag = "6")]
    pub bucket_limit: Vec<f64>,
    /// Number of values in each bucket.
    #[prost(double, repeated, tag = "7")]
    pub bucket: Vec<f64>,
}

/// A tensor of strings, or an empty one.
#[derive(Clone, PartialEq, Message)]
pub struct TensorProto {
    /// [`TensorProto::FLOAT`] or [`TensorProto::STRING`].
    #[prost(int32, tag = "1")]
    pub dtype: i32,
    /// Its shape.
    #[prost(message, optional, tag = "2")]
    pub tensor_shape: Option<TensorShapeProto>,
    /// Its strings.
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub string_val: Vec<Vec<u8>>,
}

impl TensorProto {
    /// `DataType.DT_FLOAT`.
    pub const FLOAT: i32 = 1;
    /// `DataType.DT_STRING`.
    pub const STRING: i32 = 7;
}

/// The shape of a tensor; without axes, that of a single element.
#[derive(Clone, PartialEq, Message)]
pub struct TensorShapeProto {
    /// Its axes.
    #[prost(message, repeated, tag = "2")]
    pub dim: Vec<Dimension>,
}

/// An axis of a tensor.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Dimension {
    /// Its length.
    #[prost(int64, tag = "1")]
    pub size: i64,
}

/// How the values of a tag are shown.
#[derive(Clone, PartialEq, Message)]
pub struct SummaryMetadata {
    /// The plugin that shows them.
    #[prost(message, optional, tag = "1")]
    pub plugin_data: Option<PluginData>,
    /// [`SummaryMetadata::TENSOR`].
    #[prost(int32, tag = "4")]
    pub data_class: i32,
}

impl SummaryMetadata {
    /// `DataClass.DATA_CLASS_TENSOR`.
    pub const TENSOR: i32 = 2;
}

/// A plugin, with its message about a tag.
#[derive(Clone, PartialEq, Message)]
pub struct PluginData {
    /// Its name.
    #[prost(string, tag = "1")]
    pub plugin_name: String,
    /// The message.
    #[prost(bytes = "vec", tag = "2")]
    pub content: Vec<u8>,
}

/// The message of the plugin of hyper-parameters.
#[derive(Clone, PartialEq, Message)]
pub struct HParamsPluginData {
    /// What it says.
    #[prost(oneof = "HParamsData", tags = "2, 3, 4")]
    pub data: Option<HParamsData>,
}

/// The three messages about hyper-parameters.
#[derive(Clone, PartialEq, Oneof)]
pub enum HParamsData {
    /// What there is to compare.
    #[prost(message, tag = "2")]
    Experiment(Experiment),
    /// The values of a run.
    #[prost(message, tag = "3")]
    SessionStart(SessionStartInfo),
    /// How the run ended.
    #[prost(message, tag = "4")]
    SessionEnd(SessionEndInfo),
}

/// The names of hyper-parameters and metrics.
#[derive(Clone, PartialEq, Message)]
pub struct Experiment {
    /// When it was created, in seconds since 1970.
    #[prost(double, tag = "3")]
    pub time_created_secs: f64,
    /// The hyper-parameters.
    #[prost(message, repeated, tag = "4")]
    pub hparam_infos: Vec<HParamInfo>,
    /// The metrics.
    #[prost(message, repeated, tag = "5")]
    pub metric_infos: Vec<MetricInfo>,
}

/// A hyper-parameter.
#[derive(Clone, PartialEq, Message)]
pub struct HParamInfo {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The type of its values: one of the constants.
    #[prost(int32, tag = "4")]
    pub r#type: i32,
}

impl HParamInfo {
    /// `DataType.DATA_TYPE_STRING`.
    pub const STRING: i32 = 1;
    /// `DataType.DATA_TYPE_BOOL`.
    pub const BOOL: i32 = 2;
    /// `DataType.DATA_TYPE_FLOAT64`.
    pub const FLOAT64: i32 = 3;
}

/// A metric: the last scalar under a tag.
#[derive(Clone, PartialEq, Message)]
pub struct MetricInfo {
    /// Where it is found.
    #[prost(message, optional, tag = "1")]
    pub name: Option<MetricName>,
}

/// The place of a metric.
#[derive(Clone, PartialEq, Message)]
pub struct MetricName {
    /// The tag of its scalars.
    #[prost(string, tag = "2")]
    pub tag: String,
}

/// The hyper-parameters of a run.
#[derive(Clone, PartialEq, Message)]
pub struct SessionStartInfo {
    /// Their values by name.
    #[prost(btree_map = "string, message", tag = "1")]
    pub hparams: BTreeMap<String, HParamValue>,
    /// When the run began, in seconds since 1970.
    #[prost(double, tag = "5")]
    pub start_time_secs: f64,
}

/// The end of a run.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct SessionEndInfo {
    /// [`SessionEndInfo::SUCCESS`].
    #[prost(int32, tag = "1")]
    pub status: i32,
    /// When it ended, in seconds since 1970.
    #[prost(double, tag = "2")]
    pub end_time_secs: f64,
}

impl SessionEndInfo {
    /// `Status.STATUS_SUCCESS`.
    pub const SUCCESS: i32 = 1;
}

/// A `google.protobuf.Value`
/// (<https://github.com/protocolbuffers/protobuf/blob/v31.1/src/google/protobuf/struct.proto>).
#[derive(Clone, PartialEq, Message)]
pub struct HParamValue {
    /// The value.
    #[prost(oneof = "HParam", tags = "2, 3, 4")]
    pub kind: Option<HParam>,
}

/// The value of a hyper-parameter.
#[derive(Clone, PartialEq, Oneof)]
pub enum HParam {
    /// A number.
    #[prost(double, tag = "2")]
    Number(f64),
    /// A text.
    #[prost(string, tag = "3")]
    Text(String),
    /// True or false.
    #[prost(bool, tag = "4")]
    Bool(bool),
}
