"""What the papers say, as pure functions of tensors: nothing here knows a layer or a device."""
