"""``make demo``: the main job on a real sick session, from the fault to the resolved alert."""
