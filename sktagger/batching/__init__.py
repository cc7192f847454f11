"""From clips to batches of tensors: planned, read ahead in threads, brought to the device."""
