"""Peers of artbank, re-created from their described behaviour, each with a count that proves what it does.

    counting      hooks that count what goes through the networks, and the error of a wrong count
    kit           the same frozen weights for everybody, and what all tell the harness: a `Contender`
    released      the ArtBank paper's released script, training and stylizing
    diffusers_ti  diffusers' textual_inversion example
    kohya         kohya sd-scripts' textual inversion on cached latents
    pipelines     diffusers' img2img pipeline as one user and another runs it; A1111's and ComfyUI's folder batch
    ours          artbank itself, through its public functions

Where a description leaves something open, the peer gets the cheaper reading; each module says where.
"""
