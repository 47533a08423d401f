"""What the codes of the models room mean."""

CODES: dict[str, str] = {
    "E-DATA-17": (
        "A row has more tokens than the training's max_length. Rows are never cut silently: raise max_length, or "
        "set the data set's on_long to `truncate` (the end is cut off, its end token with it) or `drop`."
    ),
    "E-DATA-18": (
        "After truncation no answer token is left, because the prompt alone fills max_length. The row's loss "
        "would be 0/0. Raise max_length, or set on_long: drop."
    ),
    "E-DATA-19": (
        "A row's text contains a special token of the tokenizer written out as text, which would be read as a "
        "mark and change what is scored; or the response has no token at all. Remove or reword the row."
    ),
    "E-DATA-60": (
        "The tokenizer cannot serve the study's template: no chat template, no end token, or a template that "
        "refuses the messages (some refuse a system message). Set model.template or model.system_prompt to "
        "something it can serve."
    ),
    "E-DATA-61": (
        "A name in model.tuning.lora.target_modules is no module of this architecture; for example gpt2 calls its "
        "attention projection `c_attn`, not `q_proj`. The message lists the linear modules there are."
    ),
    "E-DATA-62": (
        "The weights do not belong to config.json: tensors are missing, unexpected, of another shape, or tied by "
        "the configuration and yet different. Give the checkpoint as `save_pretrained` wrote it."
    ),
    "E-DATA-63": (
        "The GGUF file is missing, is not GGUF, or holds an architecture that is not supported. It is dequantised "
        "once to safetensors; the study is then one of the quantised weights."
    ),
    "E-DATA-64": (
        "The model directory is missing, or holds something that is no regular file: a symbolic link, FIFO, "
        "socket, device, or a name with control characters. The only links accepted are the hub cache's own, into "
        "../../blobs."
    ),
    "E-DATA-65": (
        "Only .safetensors weights are read. Pickle-based files (.bin, .pt, .ckpt, ...) can run code when loaded "
        "and are never opened; beside safetensors weights they are ignored."
    ),
    "E-DATA-66": (
        "config.json is missing or unreadable, names an architecture that is not on the list, or holds a key that "
        "would run or fetch code (auto_map, trust_remote_code, ...) or that says the weights are quantised."
    ),
    "E-DATA-67": (
        "model.safetensors.index.json does not describe the shards: it points outside the directory, names a file "
        "that is missing, or two shards hold the same tensor."
    ),
    "E-DATA-68": (
        "A safetensors file is damaged or malformed: truncated, bytes left over, tensors that overlap or leave "
        "holes, duplicate names, or types that are not floating point."
    ),
    "E-DATA-69": "A weight tensor holds nan or infinity; every number computed with it would be undefined.",
    "E-DATA-70": (
        "The tokenizer is missing, unreadable, asks for code, or has more ids than the model's embedding has "
        "rows. Padding of the embedding above the tokenizer is normal and allowed."
    ),
    "E-DATA-71": (
        "The chat template is refused: it was rendered once on a question and an answer in a child process with 2 "
        "s and 1 GiB, and failed, looped, or tried to reach outside its sandbox."
    ),
    "E-DATA-72": ("The directory holds an adapter, not a model. Merge it into its base model and give that folder."),
    "E-ENV-07": "An optional package is needed and not installed; the message names the extra to install.",
}
