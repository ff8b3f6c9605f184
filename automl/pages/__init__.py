"""What every page of the house is made with; which pages there are is other rooms' business."""
