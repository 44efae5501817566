//! Decoding of JPEG, PNG and WebP to RGB bytes, encoding of JPEG and PNG, and resizing with torchvision's filters.
