#!/usr/bin/env bash
# GRPO of a vision-language model on episodes with verl 0.9.1: rollouts in vLLM, updates in FSDP2.
#
#   vt-env export verl --tasks TASKS --split train --out verl-data
#   vt-env export verl --tasks TASKS --split test --out verl-data
#   MODEL=Qwen/Qwen2.5-VL-7B-Instruct experiments/integrations/verl/train.sh verl-data
#   MODEL=Qwen/Qwen3-VL-8B-Instruct NODES=4 experiments/integrations/verl/train.sh verl-data
#
# Run it where verl's environment has the core of vt-env (`pip install vt-env`). On several nodes start Ray first
# (`ray start --head` on one, `ray start --address=HEAD:6379` on the others), let all see the same video files and stores
# ($VT_ENV_CACHE), and run this on the head. Further arguments are verl's own and win.
#
# Not run on GPUs. `.ci/engines verl` composes this configuration and plays the loop on a CPU.
set -euo pipefail
data=$(realpath "${1:?folder of vt-env export verl}")
shift
: "${MODEL:=Qwen/Qwen2.5-VL-7B-Instruct}" "${NODES:=1}" "${GPUS:=8}" "${TENSOR_PARALLEL:=1}" "${GROUP:=8}" "${QUESTIONS:=128}"
# A prompt is the system text, the tools, and the question with its frames (16 of 144 tokens in the profile `field`); a response is everything behind it, frames included.
: "${PROMPT_TOKENS:=8192}" "${RESPONSE_TOKENS:=16384}"
arguments=(
  "algorithm.adv_estimator=grpo"
  # Groups whose rewards are equal teach nothing: they are refilled (DAPO, arXiv 2503.14476).
  "algorithm.filter_groups.enable=true"
  "algorithm.filter_groups.metric=reward"
  "data.train_files=$data/train.parquet"
  "data.val_files=$data/test.parquet"
  "data.train_batch_size=$QUESTIONS"
  "data.max_prompt_length=$PROMPT_TOKENS"
  "data.max_response_length=$RESPONSE_TOKENS"
  "data.return_multi_modal_inputs=false"
  "actor_rollout_ref.model.path=$MODEL"
  "actor_rollout_ref.model.enable_gradient_checkpointing=true"
  "actor_rollout_ref.model.use_remove_padding=true"
  "actor_rollout_ref.actor.strategy=fsdp2"
  "actor_rollout_ref.actor.optim.lr=1e-6"
  "actor_rollout_ref.actor.ppo_mini_batch_size=$QUESTIONS"
  "actor_rollout_ref.actor.use_dynamic_bsz=true"
  "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=$((PROMPT_TOKENS + RESPONSE_TOKENS))"
  "actor_rollout_ref.actor.use_kl_loss=false"
  "actor_rollout_ref.actor.clip_ratio_high=0.28"
  "actor_rollout_ref.actor.freeze_vision_tower=true"
  "actor_rollout_ref.actor.fsdp_config.param_offload=true"
  "actor_rollout_ref.actor.fsdp_config.optimizer_offload=true"
  "actor_rollout_ref.rollout.name=vllm"
  "actor_rollout_ref.rollout.n=$GROUP"
  "actor_rollout_ref.rollout.tensor_model_parallel_size=$TENSOR_PARALLEL"
  "actor_rollout_ref.rollout.gpu_memory_utilization=0.6"
  "actor_rollout_ref.rollout.multi_turn.enable=true"
  "actor_rollout_ref.rollout.agent.agent_loop_config_path=$data/agent_loops.json"
  "actor_rollout_ref.rollout.agent.num_workers=$((NODES * GPUS))"
  "trainer.nnodes=$NODES"
  "trainer.n_gpus_per_node=$GPUS"
  "trainer.project_name=vt-env"
  "trainer.experiment_name=$(basename "$MODEL")"
  "trainer.logger=[console,tensorboard]"
  "trainer.total_epochs=1"
  "trainer.save_freq=20"
  "trainer.test_freq=20"
)
if [ "${DRY_RUN:-}" ]; then
  printf '%s\n' "${arguments[@]}" "$@"
else
  python3 -m verl.trainer.main_ppo "${arguments[@]}" "$@"
fi
