"""Peers of artbank, re-created from their described behaviour, each with counts that prove its work.

    counting      hooks that count the samples that go through the networks, and the error of a wrong count
    kit           the same frozen weights for everybody, and the `Contender` that all give to the harness
    released      the ArtBank paper's released script, training and stylizing
    diffusers_ti  diffusers' textual_inversion example
    kohya         kohya sd-scripts' textual inversion on cached latents
    pipelines     diffusers' img2img pipeline as different users run it; A1111's and ComfyUI's folder batch
    ours          artbank itself, through its public functions

Where a description leaves something open, the peer gets the cheaper reading; each module says where.
"""
