# All rows of prime_fast, one process at a time: cd bench && sh peers/search/prime_fast.sh
set -e
results=peers/search/results
run() {
    out=$1
    shift
    python -m peers.search.run --peer prime_fast "$@" --out $results/$out.csv
}
run prime_fast --problems 'prime/*' --problems 'nk/*' --problems 'tuner/*'
run prime_fast_pbo --problems 'pbo/*' --seeds 10
run prime_fast_simulator --method genetic:simulator --problems 'prime/*'
run prime_fast_front --problems 'front/*'
for method in genetic local_search differential_evolution; do
    run prime_fast_${method}_64 --method $method/64 --problems 'prime/*' --problems 'nk/*' --problems 'tuner/*' \
        --problems 'pbo/*' --seeds 10
done
python -m peers.search.summarise
