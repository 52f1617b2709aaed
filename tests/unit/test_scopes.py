import pytest

from pytest_af3mem.worker.xla.scopes import component, of_argument, of_operation

LOOP = "while/body/closed_call"
PAIRFORMER = f"jit(program)/diffuser/{LOOP}/vmap(confidence_head)/{LOOP}/checkpoint/confidence_pairformer"
KERNEL = r'tokamax:{"op":{"__type":"tokamax._src.ops.gated_linear_unit.pallas_triton.PallasTritonGatedLinearUnit"}}/pallas_call'


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (f"jit(apply_fn)/diffuser/{LOOP}/evoformer/{LOOP}/checkpoint/msa_stack", "diffuser/evoformer/msa_stack"),
        (f"jit(apply)/diffuser/{LOOP}/cond/branch_0_fun/single_template_embedding", "diffuser/single_template_embedding"),
        ("jit(apply)/diffuser/vmap(diffusion_head)/vmap(vmap(transformer))/vmap(", "diffuser/diffusion_head/transformer"),
        ("jit(apply)/jit(clip)/vmap(jit(_normal))/vmap(vmap(while))/diffuser", "diffuser"),
        ("jit(apply)/transpose(jvp(diffuser))/evoformer", "diffuser/evoformer"),
        ("jit(apply)/eval_jaxpr/rematted_computation/body_of_mine", "body_of_mine"),
        ("diffuser/~/diffusion_head/__layer_stack_no_per_layer_1/transformer", "diffuser/diffusion_head/transformer"),
        ("diffuser/confidence_head/_embed_features/confidence_head/pae_logits", "diffuser/confidence_head/pae_logits"),
        ("diffuser/distogram_head/half_logits/...a, ah->...h", "diffuser/distogram_head/half_logits"),
        ("jit(apply)", ""),
        ("", ""),
    ],
)
def test_component(scope, expected):
    assert component(scope) == expected


@pytest.mark.parametrize(
    ("op_name", "expected"),
    [
        (f"{PAIRFORMER}/pair_attention1/while", "diffuser/confidence_head/confidence_pairformer/pair_attention1"),
        (f"{PAIRFORMER}/pair_transition/{KERNEL}", "diffuser/confidence_head/confidence_pairformer/pair_transition"),
        (f"{PAIRFORMER}/pair_transition/vmap({KERNEL})", "diffuser/confidence_head/confidence_pairformer/pair_transition"),
        ("jit(program)/diffuser/diffusion_head/norm/norm/mul", "diffuser/diffusion_head/norm"),
        ("jit(program)/mul", ""),
        ("", ""),
    ],
)
def test_component_of_an_operation(op_name, expected):
    assert of_operation(op_name) == expected


@pytest.mark.parametrize(
    ("op_name", "expected"),
    [
        (
            "parameters['diffuser/confidence_head/~_embed_features/left_project']['weights']",
            "diffuser/confidence_head/left_project",
        ),
        ("parameters['encoder']['layers'][3]['kernel']", "encoder/layers/3"),
        ("parameters.encoder.kernel", "encoder"),
        ("parameters['weights']", ""),
        ("params['diffuser/~/head']['weights']", "diffuser/head"),  # of other programs: as Haiku and Flax call them, or anyhow
        ("state[1].mean", "state/1/mean"),
        ("x", "x"),
        ("features['token_atoms_to_queries:gather_mask']", "batch/token_atoms_to_queries:gather_mask"),
        ("key", ""),
        ("", ""),
    ],
)
def test_component_of_an_argument(op_name, expected):
    assert of_argument(op_name) == expected
